"""Decoders: what the scenarios of the golden leave open."""

import itertools

import numpy as np
import pytest

from bert4keras3 import snippets
from bert4keras3.snippets.decoding import best_candidates, sample_tokens
from parity.text.snippet_scenarios import table_decoder

# Candidates


@pytest.mark.parametrize("k", [1, 3, 5, 9, 10, 12])
def test_best_candidates_are_sorted_by_score_then_by_index(k):
    scores = np.random.RandomState(0).randint(4, size=(200, 10)).astype(float)
    expected = [sorted(range(10), key=lambda i: (-row[i], i))[:k] for row in scores]  # noqa: B023 used at once
    assert best_candidates(scores, k).tolist() == expected


def test_best_candidates_take_minus_infinity_last():
    assert best_candidates(np.array([-np.inf, 1.0, -np.inf, 2.0]), 3).tolist() == [3, 1, 0]


def test_nan_from_predict_raises():
    with pytest.raises(ValueError, match="NaN"):
        best_candidates(np.array([0.0, np.nan]), 1)


def test_sampled_tokens_follow_their_probabilities():
    np.random.seed(0)
    probas = np.tile([0.5, 0.1, 0.4, 0.0], (20000, 1)).astype("float32")
    counts = np.bincount(sample_tokens(probas), minlength=4) / 20000
    np.testing.assert_allclose(counts, [0.5, 0.1, 0.4, 0.0], atol=0.015)
    counts = np.bincount(sample_tokens(probas, topk=2), minlength=4) / 20000
    np.testing.assert_allclose(counts, [5 / 9, 0, 4 / 9, 0], atol=0.015)
    counts = np.bincount(sample_tokens(probas, topk=3, topp=0.6), minlength=4) / 20000
    np.testing.assert_allclose(counts, [5 / 9, 0, 4 / 9, 0], atol=0.015)


def test_sampling_leaves_the_probabilities_as_they_were():
    probas = np.array([[0.5, 0.3, 0.2]])
    probas.setflags(write=False)  # as JAX gives them
    sample_tokens(probas, topk=2, topp=0.5)
    assert probas.tolist() == [[0.5, 0.3, 0.2]]


def test_sampling_is_repeated_by_its_seed():
    decoder = table_decoder(snippets, "logits", vocab_size=11)
    texts = []
    for _ in range(2):
        np.random.seed(3)
        texts.append([ids.tolist() for ids in decoder.random_sample([[1]], 5, topk=4, topp=0.9)])
    assert texts[0] == texts[1]
    assert len(texts[0]) == 5 and len({tuple(ids) for ids in texts[0]}) > 1


# Search


def test_wide_beam_finds_the_best_of_all_texts():
    decoder = table_decoder(snippets, "probas", vocab_size=3, maxlen=4, end_id=9)
    log_probas = {}
    for tokens in itertools.product(range(3), repeat=4):
        ids, log_probas[tokens] = [0], 0
        for token in tokens:
            scores, _ = decoder.predict([np.array([[1]])], np.array([ids]), None, 1, "logits")
            log_probas[tokens] += scores[0, token]
            ids.append(token)
    assert decoder.beam_search([[1]], 81).tolist() == [0, *max(log_probas, key=log_probas.get)]


def test_beam_search_returns_a_text_without_end_after_maxlen():
    assert len(table_decoder(snippets, "probas", end_id=99, maxlen=6).beam_search([[0]], 3)) == 7


def test_beam_search_gives_inputs_in_as_many_rows_as_texts():
    rows = []

    class Decoder(snippets.AutoRegressiveDecoder):
        @snippets.AutoRegressiveDecoder.wraps("logits", use_states=True)
        def predict(self, inputs, output_ids, states):
            rows.append([len(one) for one in inputs] + [len(output_ids), states])
            return np.random.RandomState(len(rows)).normal(size=(len(output_ids), 6)), len(rows)

    Decoder(None, 5, maxlen=3).beam_search([np.zeros((2, 2)), [1, 2]], 3)
    assert rows[0] == [1, 1, 1, None]
    assert all(row[0] == row[1] == row[2] for row in rows)
    assert [row[3] for row in rows[1:]] == list(range(1, len(rows)))


def test_predict_without_wraps_says_what_is_expected():
    with pytest.raises(NotImplementedError, match="wraps"):
        snippets.AutoRegressiveDecoder(0, 1, 2).predict([], None)


def test_unknown_rtype_is_named():
    with pytest.raises(ValueError, match="'scores'"):
        snippets.AutoRegressiveDecoder.wraps("scores")
    with pytest.raises(ValueError, match="'scores'"):
        table_decoder(snippets, "probas").predict([[[0]]], np.array([[0]]), None, 1, "scores")


def test_wraps_keeps_name_and_docstring():
    @snippets.AutoRegressiveDecoder.wraps()
    def predict(self, inputs, output_ids, states):
        """Next token."""

    assert (predict.__name__, predict.__doc__) == ("predict", "Next token.")


# The last token of a model


@pytest.fixture(scope="module")
def language_models():
    """A model of one input and output, and one of two."""
    from bert4keras3.backend import K, keras

    first, second = (keras.layers.Input((None,), dtype="int32") for _ in range(2))
    embedding = keras.layers.Embedding(11, 4)
    one = keras.layers.Dense(7)(embedding(first))
    both = keras.layers.Add()([embedding(first), embedding(second)])
    yield (
        keras.models.Model(first, one),
        keras.models.Model([first, second], [keras.layers.Dense(7)(both), keras.layers.Dense(3)(both)]),
    )
    K.clear_session()


@pytest.mark.parametrize("batch, batch_size", [(3, None), (3, 2), (40, None)])
def test_last_token_is_that_of_the_whole_prediction(language_models, batch, batch_size):
    decoder = snippets.AutoRegressiveDecoder(None, 1, 5)
    ids = [np.random.RandomState(i).randint(11, size=(batch, 6)) for i in range(2)]
    for model, inputs in zip(language_models, (ids[0], ids)):
        whole = model.predict(inputs, verbose=0)
        last = decoder.last_token(model).predict(inputs, batch_size=batch_size)
        for expected, got in zip(whole, last) if inputs is ids else [(whole, last)]:
            assert isinstance(got, np.ndarray)
            np.testing.assert_allclose(got, expected[:, -1], rtol=1e-5, atol=1e-6)


def test_last_token_makes_one_model_of_a_model(language_models):
    decoder = snippets.AutoRegressiveDecoder(None, 1, 5)
    first, second = language_models
    assert decoder.last_token(first) is decoder.last_token(first)
    assert decoder.last_token(first) is not decoder.last_token(second)


def test_last_token_prints_nothing(language_models, capsys):
    snippets.AutoRegressiveDecoder(None, 1, 5).last_token(language_models[0]).predict(
        np.zeros((40, 2), "int32")
    )
    assert capsys.readouterr().out == ""


# Viterbi


def score(path, trans, nodes):
    return sum(nodes[range(len(path)), path]) + sum(trans[path[:-1], path[1:]])


@pytest.mark.parametrize("seed", range(20))
def test_viterbi_finds_the_best_of_all_paths(seed):
    random = np.random.RandomState(seed)
    trans, nodes = random.normal(size=(3, 3)), random.normal(size=(5, 3))
    paths = [list(path) for path in itertools.product(range(3), repeat=5) if path[0] != 1 and path[-1] != 0]
    decoder = snippets.ViterbiDecoder(trans, starts=[0, 2], ends=[1, 2])
    assert decoder.decode(nodes).tolist() == max(paths, key=lambda path: score(path, trans, nodes))


def test_viterbi_leaves_nodes_as_they_were():
    nodes = np.zeros((2, 3), "float32")
    snippets.ViterbiDecoder(np.zeros((3, 3)), starts=[1], ends=[2]).decode(nodes)
    assert not nodes.any()


@pytest.mark.parametrize("shape", [(0, 3), (4, 2), (3,)])
def test_viterbi_names_a_wrong_shape(shape):
    with pytest.raises(ValueError, match="3"):
        snippets.ViterbiDecoder(np.zeros((3, 3))).decode(np.zeros(shape))
