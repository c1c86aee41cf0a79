"""Weights that the reference saved with `model.save_weights` load into ours, on every Keras."""

import numpy as np
import pytest

from bert4keras3.backend import get_values
from parity.adapter import open_library
from parity.models.build import build_case, case_weights, load_case
from parity.models.cases import CASES_BY_NAME
from parity.models.golden_hdf5 import HDF5, NAMES

pytestmark = pytest.mark.usefixtures("fresh_session")


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_the_reference_load_bit_for_bit(name):
    library, case = open_library("bert4keras3"), CASES_BY_NAME[name]
    transformer, expected = build_case(library, case)
    load_case(transformer, case, case_weights(case))
    _, model = build_case(library, case)
    model.load_weights(str(HDF5 / (name + ".h5")))
    # the reference computes fixed sinusoids in float32, so tables that are not trained differ in the last place
    for mine, theirs in zip(get_values(expected.trainable_weights), get_values(model.trainable_weights)):
        np.testing.assert_array_equal(theirs, mine)
