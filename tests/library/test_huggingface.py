"""Folders that transformers wrote: our models compute the same from them, and write them again."""

import json

import numpy as np
import pytest

from bert4keras3.backend import get_values
from bert4keras3.checkpoints import open_checkpoint
from bert4keras3.models import build_transformer_model
from parity.adapter import listed
from parity.compare import BOUND
from parity.models import huggingface

pytestmark = pytest.mark.usefixtures("fresh_session")
NAMES = huggingface.names()


@pytest.fixture
def folder_of(tmp_path):
    """Unpack a folder by its name, and return its path and what is known of it."""

    def unpack(name):
        known = huggingface.read(name)
        (tmp_path / name).mkdir()
        for file, content in known.files.items():
            (tmp_path / name / file).write_bytes(content)
        return tmp_path / name, known

    return unpack


def outputs_of(model, inputs):
    values = [np.asarray(value, "float32") for value in inputs[: len(model.inputs)]]
    if len(values) < len(model.inputs):
        values.append(np.zeros_like(values[0]))
    return listed(model.predict_on_batch(values if len(values) > 1 else values[0]))


def ratio(model, known, answer):
    """Error ratio of all outputs of a model."""
    padding = 1 if known.inputs[0][0, 0] == 0 else 0  # RoBERTa begins with id 0
    outputs = [np.asarray(one) for one in outputs_of(model, known.inputs)]
    return huggingface.ratio(outputs, *answer[1:], known.inputs[0] != padding)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_gives_what_transformers_computes(name, folder_of):
    path, known = folder_of(name)
    for answer in known.answers:
        model = build_transformer_model(str(path), **answer[0])
        assert ratio(model, known, answer) <= BOUND, (name, answer[0])
