"""`keep_tokens` and `compound_tokens`: the rows that they give, and the error for what gives none."""

import numpy as np
import pytest

from bert4keras3.models import build_transformer_model
from bert4keras3.vocabulary import select_rows

pytestmark = pytest.mark.usefixtures("fresh_session")
ROWS = np.arange(20, dtype="float32").reshape(10, 2) ** 2
SIZES = dict(
    vocab_size=10,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    hidden_act="gelu",
    max_position=9,
)


@pytest.mark.parametrize(
    "keep_tokens, compound_tokens, expected",
    [
        (None, None, ROWS),
        ([9, 0, 9], None, ROWS[[9, 0, 9]]),
        (np.array([3, 1]), None, ROWS[[3, 1]]),
        (range(2, 5), [], ROWS[2:5]),
        (None, [[4]], np.vstack([ROWS, ROWS[4:5]])),
        ([5, 7], [[0, 1]], np.vstack([ROWS[[5, 7]], ROWS[[5, 7]].mean(0)])),
        ([5, 7], [np.array([0, 1])], np.vstack([ROWS[[5, 7]], ROWS[[5, 7]].mean(0)])),
        ([5, 7], [([0, 1], [3, 1])], np.vstack([ROWS[[5, 7]], (3 * ROWS[5] + ROWS[7]) / 4])),
        ([5, 7], [[np.int64(0), 1], [1]], np.vstack([ROWS[[5, 7]], ROWS[[5, 7]].mean(0), ROWS[7]])),
    ],
)
def test_rows_are_kept_then_averaged(keep_tokens, compound_tokens, expected):
    np.testing.assert_array_equal(select_rows(ROWS, keep_tokens, compound_tokens), expected)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(keep_tokens=[]), "keep_tokens: expected at least one id"),
        (dict(keep_tokens=[1.0, 2]), r"keep_tokens: expected integers, got \[1.0\].*int\(\)"),
        (dict(keep_tokens=np.array([1.0])), "keep_tokens: expected integers"),
        (dict(keep_tokens=[True, False]), "keep_tokens: expected integers.*True"),
        (dict(keep_tokens=np.array([True])), "keep_tokens: expected integers"),
        (dict(keep_tokens=["1"]), "keep_tokens: expected integers.*'1'"),
        (dict(keep_tokens=[[1, 2]]), "keep_tokens: expected integers"),
        (dict(keep_tokens={1: 2}), "keep_tokens: expected a list of ids"),
        (dict(keep_tokens=5), "keep_tokens: expected a list of ids, got 5"),
        (dict(keep_tokens=[3, 10]), r"keep_tokens: expected ids from 0 to 9.*vocab_size.*\[10\]"),
        (dict(keep_tokens=[-1]), r"keep_tokens: expected ids from 0 to 9.*\[-1\]"),
        (dict(compound_tokens=7), "compound_tokens: expected a list"),
        (dict(compound_tokens=[[1], []]), r"compound_tokens\[1\]: expected at least one id"),
        (dict(compound_tokens=[[9, 500]]), r"compound_tokens\[0\]: expected ids from 0 to 9.*\[500\]"),
        (dict(compound_tokens=[[-1]]), r"compound_tokens\[0\].*\[-1\]"),
        (dict(compound_tokens=[[2]], keep_tokens=[5, 7]), r"compound_tokens\[0\].*0 to 1.*keep_tokens"),
        (dict(compound_tokens=[[1.5]]), r"compound_tokens\[0\]: expected integers, got \[1.5\]"),
        (dict(compound_tokens=[[[1, 2], [1, 1]]]), r"compound_tokens\[0\].*is a tuple"),
        (dict(compound_tokens=[3]), r"compound_tokens\[0\]: expected a list of ids or a tuple.*got 3"),
        (dict(compound_tokens=[(1, 2)]), r"compound_tokens\[0\]: expected a list of ids or a tuple"),
        (dict(compound_tokens=[([1, 2], [1])]), r"compound_tokens\[0\]: expected 2 weights.*\[1\]"),
        (dict(compound_tokens=[([1, 2], ["a", 1])]), r"compound_tokens\[0\]: expected 2 weights"),
        (dict(compound_tokens=[([1, 2], [1, -1])]), r"compound_tokens\[0\].*not 0"),
        (dict(compound_tokens=[([1, 2], [1, float("nan")])]), r"compound_tokens\[0\].*finite"),
        (dict(compound_tokens=[([1, 2], [1, float("inf")])]), r"compound_tokens\[0\].*finite"),
    ],
)
def test_tokens_that_give_no_rows_are_named_before_a_model_is_built(arguments, words):
    with pytest.raises(ValueError, match=words):
        build_transformer_model(**dict(SIZES, **arguments))


def test_a_model_has_a_row_for_each_token():
    model = build_transformer_model(keep_tokens=[3, 1, 2], compound_tokens=[[0, 2]], **SIZES)
    assert model.get_layer("Embedding-Token").input_dim == 4
