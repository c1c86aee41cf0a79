"""TextEncoder: texts in, vectors out, in their order."""

import json
import logging

import numpy as np
import pytest
from small_models import build

from bert4keras3.text_encoder import TextEncoder
from bert4keras3.tokenizers import Tokenizer
from parity.compare import BOUND, FLOOR
from parity.models.inputs import SENTENCES
from parity.store import GOLDENS, MINILM_FOLDER, read_arrays
from parity.subsample import rms, sample

pytestmark = pytest.mark.usefixtures("fresh_session")
CHARACTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *CHARACTERS, *("##" + one for one in CHARACTERS)]
TEXTS = ["a b c", "", "d", "a b c", "x y z " * 40, "h i j k l m"]


def tokenizer():
    return Tokenizer({token: i for i, token in enumerate(VOCABULARY)}, do_lower_case=True)


def encoder(name="bert", pooling="cls", transformer=None, **arguments):
    heads = dict(with_nsp=False, with_mlm=False, with_pool=pooling == "pooler") if name == "bert" else {}
    transformer = transformer or build(name, return_keras_model=False, **heads)
    return TextEncoder(transformer, tokenizer(), pooling, **arguments)


def expected(one, texts):
    """Vectors by the transformer's own model, one text at a time."""
    transformer, vectors = one.transformer, []
    for text in texts:
        ids, segments = one.tokenizer.encode(text, maxlen=one.max_length)
        feed = [np.array([ids]), np.array([segments])][: len(transformer.inputs)]
        output = np.asarray(transformer.model.predict_on_batch(feed if len(feed) > 1 else feed[0]))[0]
        vectors.append(
            {"cls": output[0], "last": output[-1], "mean": output.mean(0)}.get(one.pooling, output)
        )
    return np.array(vectors)


@pytest.mark.parametrize("pooling", ["cls", "mean", "last", "pooler"])
def test_vectors_are_those_of_one_text_at_a_time(pooling):
    one = encoder(pooling=pooling)
    vectors = one.encode(TEXTS, show_progress=False)
    assert vectors.dtype == "float32" and vectors.shape == (len(TEXTS), one.size)
    np.testing.assert_allclose(vectors, expected(one, TEXTS), atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[3], atol=1e-6)


@pytest.mark.parametrize("name", ["roformer_v2", "gau_alpha", "t5-encoder", "nezha", "gpt2"])
def test_other_families(name):
    one = encoder(name, "mean")
    assert one.encode(TEXTS, show_progress=False).shape == (len(TEXTS), one.size)


def test_order_and_windows(monkeypatch):
    monkeypatch.setattr("bert4keras3.text_encoder.WINDOW", 2)
    one = encoder()
    texts = [" ".join(np.random.RandomState(i).choice(CHARACTERS, 5 * (i % 5))) for i in range(200)]
    vectors = one.encode((text for text in texts), batch_tokens=512, show_progress=False)
    np.testing.assert_allclose(vectors, expected(one, texts), atol=1e-5)
    assert one.packed.real_tokens / one.packed.computed_tokens > 0.8


def test_one_text_after_many_fills_no_batch():
    one = encoder()
    one.encode(["a b c d e f g"] * 60, batch_tokens=512, show_progress=False)
    before = one.packed.computed_tokens
    one.encode(["a b c d e f g"] * 16, batch_tokens=512, show_progress=False)
    assert one.packed.computed_tokens - before == 256


def test_one_text_and_no_text():
    one = encoder()
    np.testing.assert_allclose(one.encode("a b c"), expected(one, ["a b c"])[0], atol=1e-5)
    assert one.encode([]).shape == (0, one.size) and one.encode(iter([])).shape == (0, one.size)


def test_long_texts_are_cut_and_counted(caplog):
    caplog.set_level(logging.WARNING, logger="bert4keras3")
    one = encoder()
    one.encode(["a " * 10000, "b", "c " * 30], show_progress=False)
    said = [record.message for record in caplog.records if record.name == "bert4keras3"]
    assert said == ["2 texts have more than 24 tokens and were cut."]
    assert encoder(max_length=8).max_length == 8
    with pytest.raises(ValueError, match="expected at most 24, the positions of the model, got 25"):
        encoder(max_length=25)


def test_normalized_vectors_and_similarity():
    one = encoder(normalize=True)
    vectors = one.encode(TEXTS, show_progress=False)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    similarity = one.similarity(vectors, vectors[:2])
    assert similarity.shape == (len(TEXTS), 2)
    np.testing.assert_allclose(similarity[[0, 3, 1], [0, 0, 1]], 1, atol=1e-5)


def failing():
    yield from TEXTS
    raise OSError("the disk is gone")


def test_a_generator_that_raises_loses_nothing():
    one, found = encoder(), []
    with pytest.raises(OSError, match="the disk is gone"):
        for numbers, _ in one.encode_batches(failing()):
            found.extend(numbers.tolist())
    assert sorted(found) == list(range(len(TEXTS)))
    with pytest.raises(OSError, match="the disk is gone"):
        one.encode(failing(), show_progress=False)


@pytest.mark.parametrize("texts", [["a", None], ["a", 3], ["a", b"b"]], ids=str)
def test_what_is_no_text_is_named(texts):
    with pytest.raises(TypeError, match="text 1: expected a str"):
        encoder().encode(texts, show_progress=False)


def test_a_progress_bar_is_shown(capsys):
    encoder().encode(TEXTS)
    assert "6/6" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (dict(pooling="max"), "pooling: expected one of cls, mean, pooler, last, got 'max'"),
        (dict(with_pool=True), "a transformer is built already, without with_pool"),
    ],
)
def test_wrong_arguments_are_named(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        TextEncoder(build("bert", return_keras_model=False), tokenizer(), **arguments)


def test_what_is_missing_is_named():
    transformer = build("bert", return_keras_model=False, with_nsp=False)
    with pytest.raises(ValueError, match="tokenizer: expected a tokenizer"):
        TextEncoder(transformer)
    with pytest.raises(ValueError, match="with_pool=True"):
        TextEncoder(transformer, tokenizer(), "pooler")


def folder_of_sentence_transformers(
    folder, pooling="pooling_mode_mean_tokens", kinds=("Pooling", "Normalize")
):
    transformer = build("bert", return_keras_model=False, with_nsp=False, with_mlm=False, with_pool=True)
    transformer.save_pretrained(str(folder), tokenizer())
    names = ["Transformer", *kinds]
    paths = ["", *(f"{i}_{kind}" for i, kind in enumerate(kinds, 1))]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(zip(names, paths))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({pooling: True}))
    return folder


def test_a_folder_of_sentence_transformers_says_how_to_pool(tmp_path):
    one = TextEncoder(folder_of_sentence_transformers(tmp_path))
    assert (one.pooling, one.normalize, one.max_length) == ("mean", True, 16)
    other = TextEncoder(str(tmp_path), pooling="cls", normalize=False, max_length=24)
    assert (other.pooling, other.normalize, other.max_length) == ("cls", False, 24)
    np.testing.assert_allclose(other.encode(TEXTS), expected(other, TEXTS), atol=1e-5)


def test_a_layer_that_is_not_supported_is_named(tmp_path):
    folder = folder_of_sentence_transformers(tmp_path, kinds=("Pooling", "Dense"))
    with pytest.raises(ValueError, match="has a layer Dense of sentence-transformers"):
        TextEncoder(folder)


@pytest.mark.skipif(not MINILM_FOLDER.exists(), reason="the parity session unpacks it")
def test_real_weights_give_what_transformers_computes():
    """all-MiniLM-L6-v2 as released: the golden has the means before their normalization."""
    golden = read_arrays(GOLDENS / "minilm-embedding.npz")
    one = TextEncoder(MINILM_FOLDER, normalize=False)
    assert one.pooling == "mean" and one.max_length == 256
    for length in (14, 47):
        exact, noise = golden[f"{length}/output/0"], golden[f"{length}/output/0@noise"]
        one.max_length = length
        error = rms([sample(one.encode(SENTENCES, show_progress=False), exact.size) - exact])
        assert error / max(rms([noise]), FLOOR * rms([exact])) <= BOUND
