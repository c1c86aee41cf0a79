"""Dropout: what is dropped, how much, and when."""

import numpy as np
import pytest

from bert4keras3 import ops
from bert4keras3.backend import keras
from bert4keras3.layers import Dropout

ONES = np.ones((64, 50, 40), "float32")

pytestmark = pytest.mark.skipif(not hasattr(keras, "ops"), reason="on Keras 2 it is Keras's")


def dropped(layer, training=True):
    return ops.convert_to_numpy(layer(ops.convert_to_tensor(ONES), training=training))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.97])
def test_a_share_is_dropped_and_the_rest_grows_so_that_the_mean_stays(rate):
    x = dropped(Dropout(rate, seed=1))
    share, noise = (x == 0).mean(), np.sqrt(rate * (1 - rate) / x.size)
    assert abs(share - rate) < 4 * noise, f"{share:.4f} of the numbers are 0, expected {rate:.4f}"
    np.testing.assert_allclose(x[x != 0], 1 / (1 - rate), rtol=1e-3)


def test_neighbours_are_dropped_independently():
    """Also those whose random numbers come out of one word."""
    x = dropped(Dropout(0.5, seed=2)) == 0
    for axis in range(3):
        both = (x & np.roll(x, 1, axis)).mean()
        assert abs(both - 0.25) < 4 * np.sqrt(0.25 * 0.75 / x.size), f"axis {axis}: {both:.4f}, expected 0.25"


def test_each_call_draws_anew_and_a_seed_repeats_them():
    first, second = [
        [dropped(layer) for _ in range(2)] for layer in (Dropout(0.3, seed=5), Dropout(0.3, seed=5))
    ]
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("rate, training", [(0.5, False), (0.5, None), (0.0, True)])
def test_nothing_is_dropped_otherwise(rate, training):
    np.testing.assert_array_equal(dropped(Dropout(rate), training), ONES)


def test_a_rate_of_one_drops_all():
    assert not dropped(Dropout(1.0)).any()


def test_numbers_of_a_noise_shape_are_shared():
    x = dropped(Dropout(0.5, noise_shape=(None, 1, None), seed=3))
    assert (x == x[:, :1]).all() and (x != x[:1]).any()
