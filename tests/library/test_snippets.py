"""Snippets against bert4keras 0.11.5 (`parity/goldens/snippets.json`), and where they differ on purpose."""

import copy
import inspect
import json
from types import SimpleNamespace

import numpy as np
import pytest

from bert4keras3 import snippets
from parity.kinds import KINDS_BY_NAME, verdict
from parity.text.cases import golden_cases
from parity.text.record import record


@pytest.mark.parametrize("name", golden_cases("snippets"))
def test_snippet_gives_the_golden_result(name, fresh_session):
    results = record("snippets", SimpleNamespace(name="bert4keras3"), None, name)
    assert verdict(KINDS_BY_NAME["snippets"], name, json.loads(json.dumps(results))).red is None


def test_golden_calls_every_function_that_json_can_hold():
    assert {given.get("function") for given, _ in golden_cases("snippets").values()} >= {
        "longest_common_subsequence",
        "longest_common_substring",
        "lowercase_and_normalize",
        "orthogonally_resize",
        "sequence_padding",
        "softmax",
        "string_matching",
        "text_segmentate",
        "truncate_sequences",
    }


def test_to_array_unpacks_a_single_argument():
    np.testing.assert_array_equal(snippets.to_array([1, 2]), [1, 2])
    first, second = snippets.to_array([1, 2], [[3]])
    assert (first.shape, second.shape) == ((2,), (1, 1))
    assert snippets.to_array() == []


@pytest.mark.parametrize(
    "value, expected", [("", True), ("a", True), (b"a", False), (["a"], False), (None, False)]
)
def test_is_string_takes_str_only(value, expected):
    assert snippets.is_string(value) is expected


def test_is_one_of_compares_by_identity():
    x, equal = np.zeros(2), np.zeros(2)
    assert snippets.is_one_of(x, [equal, x]) is True
    assert snippets.is_one_of(x, [equal]) is False


@pytest.mark.parametrize(
    "text, expected",
    [
        ("\uff21\uff22\uff23\u3000\uff11\uff12\uff13\uff0c\uff01\uff5e", "ABC 123,!~"),
        ("\u4e2d\u6587 abc\u3002\uff5f\uffe5", "\u4e2d\u6587 abc\u3002\uff5f\uffe5"),
        ("", ""),
    ],
)
def test_strQ2B_halves_the_width(text, expected):
    assert snippets.strQ2B(text) == expected


@pytest.mark.parametrize("convert", [snippets.convert_to_unicode, snippets.convert_to_str])
def test_conversion_decodes_bytes(convert):
    assert convert("\u4e2d") == "\u4e2d"
    assert convert("\u4e2d".encode("utf-8")) == "\u4e2d"
    assert convert("\u4e2d".encode("gbk"), encoding="gbk") == "\u4e2d"
    assert convert(b"a\xffb") == "ab"
    with pytest.raises(UnicodeDecodeError):
        convert(b"a\xffb", errors="strict")
    assert convert(None) is None


@pytest.mark.parametrize("length", [np.int64(4), np.array([4]), (4,), 4])
def test_sequence_padding_takes_any_kind_of_length(length):
    assert snippets.sequence_padding([[1], [2, 3]], length=length).tolist() == [[1, 0, 0, 0], [2, 3, 0, 0]]


@pytest.mark.parametrize(
    "inputs, keywords, message",
    [
        ([], {}, "none"),
        ([], {"length": 3}, "none"),
        ([[1]], {"mode": "middle"}, "middle"),
        ([[[1]]], {"seq_dims": 2, "length": 3}, "2 numbers"),
        ([[[1]], [1]], {"seq_dims": 2}, r"shape \(1,\)"),
        ([[[1, 2]], [[1]]], {}, r"shape \(1, 1\)"),
    ],
)
def test_sequence_padding_names_what_does_not_fit(inputs, keywords, message):
    with pytest.raises(ValueError, match=message):
        snippets.sequence_padding(inputs, **keywords)


def test_truncate_sequences_shortens_in_place():
    first, second = [1, 2, 3, 4], [5, 6]
    result = snippets.truncate_sequences(4, -1, first, second)
    assert result[0] is first
    assert (first, second) == ([1, 2], [5, 6])


def test_truncate_sequences_keeps_indices_with_their_sequences():
    empty, full = [], [1, 2, 3]
    snippets.truncate_sequences(2, [-1, 0], empty, full)
    assert full == [2, 3]


@pytest.mark.parametrize(
    "maxlen, indices, sequences",
    [(0, -2, [[1], [2]]), (1, 1, [[1, 2, 3], [4]]), (-1, -1, [[1]]), (1, [0], [[1], [2]])],
)
def test_truncate_sequences_raises_and_leaves_the_lists(maxlen, indices, sequences):
    before = copy.deepcopy(sequences)
    with pytest.raises(ValueError, match="truncate_sequences"):
        snippets.truncate_sequences(maxlen, indices, *sequences)
    assert sequences == before


def test_truncate_sequences_cuts_as_popping_one_by_one():
    generator = np.random.RandomState(0)
    for _ in range(300):
        sequences = [list(range(n)) for n in generator.randint(1, 8, size=3)]
        maxlen, index = generator.randint(2, 20), int(generator.choice([0, -1]))
        popped = copy.deepcopy(sequences)
        while sum(map(len, popped)) > maxlen:
            max(popped, key=len).pop(index)
        snippets.truncate_sequences(maxlen, index, *sequences)
        assert sequences == popped


def test_softmax_keeps_float32():
    assert snippets.softmax(np.zeros((2, 4), "float32")).dtype == np.float32


class Base:
    def __init__(self, size, **keywords):
        self.size, self.keywords = size, keywords


class Model(Base):
    @snippets.insert_arguments(with_discriminator=False, rate=0.1)
    @snippets.delete_arguments("with_pool", "with_mlm")
    def __init__(self, size, **keywords):
        """The model."""
        super().__init__(size, **keywords)


def test_inserted_arguments_become_attributes():
    model = Model(3, with_discriminator="tanh", other=1)
    assert (model.size, model.keywords) == (3, {"other": 1})
    assert (model.with_discriminator, model.rate) == ("tanh", 0.1)


def test_deleted_arguments_are_refused():
    with pytest.raises(TypeError, match="Model.*'with_mlm'"):
        Model(3, with_mlm=True)


def test_decorated_init_keeps_name_and_signature():
    assert Model.__init__.__doc__ == "The model."
    assert list(inspect.signature(Model.__init__).parameters) == ["self", "size", "keywords"]


def test_orthogonally_resize_repeats_groups_of_the_window():
    resized = snippets.orthogonally_resize(np.array([1.0, 2.0, 3.0, 4.0]), (8,))
    np.testing.assert_allclose(resized / resized[0], [1, 2, 1, 2, 3, 4, 3, 4])
    np.testing.assert_allclose(np.linalg.norm(resized), np.sqrt(30))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_orthogonally_resize_keeps_zeros_and_dtype(dtype):
    resized = snippets.orthogonally_resize(np.zeros(4, dtype), (6,))
    assert resized.dtype == dtype
    assert resized.tolist() == [0] * 6
    assert snippets.orthogonally_resize(np.ones(4, dtype), (6,)).dtype == dtype


@pytest.mark.parametrize("new_shape, message", [((4, 4), "1 axes"), ((6,), "multiple of 2")])
def test_orthogonally_resize_names_what_does_not_fit(new_shape, message):
    with pytest.raises(ValueError, match=message):
        snippets.orthogonally_resize(np.ones(3), new_shape)
