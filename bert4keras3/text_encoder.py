"""`TextEncoder`: texts → vectors, for search, clustering and classification."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generator, Iterable, Iterator, NamedTuple

import numpy as np

from bert4keras3.backend import keras
from bert4keras3.huggingface import HUB, download
from bert4keras3.models import build_transformer_model
from bert4keras3.packing import BATCH_TOKENS, POOLINGS, PackedModel, packed_transformer
from bert4keras3.tokenizer_files import read_json
from bert4keras3.tokenizers import Tokenizer

logger = logging.getLogger("bert4keras3")

POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}
WINDOW = 8  # batches whose texts are sorted at once


class Text(NamedTuple):
    """A text that was tokenized: its number among all texts, and its ids."""

    number: int
    ids: list[int]
    segments: list[int]


class TextEncoder:
    """Vectors of texts.

    Args:
        transformer: a folder or "hf://organisation/name", as for `build_transformer_model`; or a transformer, from
            `build_transformer_model(…, return_keras_model=False)`.
        tokenizer: `Tokenizer` or another with `encode(text, maxlen=…)`; None: that of the folder.
        pooling: "cls", the last hidden state of the first token; "mean" over the tokens; "pooler", the model's own
            pooler; "last", of the last token. None: as the folder says (`1_Pooling/config.json` of
            sentence-transformers), otherwise "cls".
        normalize: divide each vector by its length. None: as the folder says.
        max_length: tokens of a text at most; None: as many as the model has positions, or 512.
        options: of `build_transformer_model` for a folder, such as `with_pool="linear"` for the pooler of SimBERT.

    Raises:
        ValueError: an argument is none of these, or the transformer cannot be packed.
        CheckpointError: the folder lacks a file.
    """

    def __init__(
        self,
        transformer: Any,
        tokenizer: Any = None,
        pooling: str | None = None,
        normalize: bool | None = None,
        max_length: int | None = None,
        **options: Any,
    ) -> None:
        folder = os.fspath(transformer) if isinstance(transformer, (str, os.PathLike)) else None
        if folder is not None and folder.startswith(HUB):
            folder = download(folder)
        found = settings_of(folder) if folder is not None else {}
        self.pooling = pooling or found.get("pooling", "cls")
        self.normalize = found.get("normalize", False) if normalize is None else normalize
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling: expected one of {', '.join(POOLINGS)}, got {pooling!r}")
        if folder is not None:
            options.setdefault("with_pool", self.pooling == "pooler")
            transformer = build_transformer_model(folder, return_keras_model=False, **options)
            tokenizer = Tokenizer(folder) if tokenizer is None else tokenizer
        elif options:
            raise ValueError(f"a transformer is built already, without {', '.join(options)}")
        if tokenizer is None:
            raise ValueError("tokenizer: expected a tokenizer for a transformer that is no folder, got None")
        self.transformer = transformer
        self.tokenizer = tokenizer
        self.packed = PackedModel(packed_transformer(transformer, self.pooling))
        limit = self.packed.transformer.max_length
        self.max_length = max_length or found.get("max_length") or limit or 512
        if limit is not None and self.max_length > limit:
            raise ValueError(
                f"max_length: expected at most {limit}, the positions of the model, got {self.max_length}"
            )

    def encode(self, texts: Any, batch_tokens: int = BATCH_TOKENS, show_progress: bool = True) -> np.ndarray:
        """Vectors of texts, in the order given.

        A text with more than `max_length` tokens is cut; the log says how many were.

        Args:
            texts: a list or generator of `str`; or one `str`.
            batch_tokens: tokens that are computed at once.
            show_progress: show a progress bar.

        Returns:
            (texts, size) float32, or (size,) for one `str`.

        Raises:
            TypeError: a text is no `str`. Exceptions of a generator pass through.
        """
        if isinstance(texts, str):
            return self.encode([texts], batch_tokens, show_progress=False)[0]
        total = len(texts) if hasattr(texts, "__len__") else None
        bar = keras.utils.Progbar(total) if show_progress and total != 0 else None
        found = []
        for indices, vectors in self.encode_batches(texts, batch_tokens):
            found.append((indices, vectors))
            if bar is not None:
                bar.add(len(indices))
        if not found:
            return np.zeros((0, self.size), "float32")
        order = np.argsort(np.concatenate([indices for indices, _ in found]))
        return np.concatenate([vectors for _, vectors in found])[order]

    def encode_batches(
        self, texts: Iterable[str], batch_tokens: int = BATCH_TOKENS
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (numbers of texts, their vectors) as soon as they are computed: (texts,) and (texts, size).

        If a generator raises, what came before is computed and yielded first.
        """
        self.packed.start(batch_tokens)
        self.cut = 0
        rest: list[Text] = []
        failure = None
        with ThreadPoolExecutor(1) as pool:  # reads and tokenizes the next texts while the device computes
            windows = self.windows(texts, WINDOW * batch_tokens)
            while failure is None:
                coming = pool.submit(next, windows, None)
                rest = yield from self.run(rest, is_last=False)
                try:
                    window = coming.result()
                except Exception as error:
                    failure = error
                else:
                    if window is None:
                        break
                    rest += window
        yield from self.run(rest, is_last=True)
        if self.cut:
            logger.warning("%d texts have more than %d tokens and were cut.", self.cut, self.max_length)
        if failure is not None:
            raise failure

    def windows(self, texts: Iterable[str], size: int) -> Iterator[list[Text]]:
        """Tokenize texts, and yield them in lists of about `size` tokens. What failed is raised at the end."""
        window: list[Text] = []
        tokens, failure = 0, None
        try:
            for number, text in enumerate(texts):
                window.append(self.tokenize(number, text))
                tokens += len(window[-1].ids)
                if tokens >= size:
                    yield window
                    window, tokens = [], 0
        except Exception as error:
            failure = error
        yield window
        if failure is not None:
            raise failure

    def tokenize(self, number: int, text: str) -> Text:
        """Token ids of a text, with at most `max_length` tokens."""
        if not isinstance(text, str):
            raise TypeError(f"text {number}: expected a str, got {text!r}")
        ids, segments = self.tokenizer.encode(text, maxlen=self.max_length + 1)
        if len(ids) > self.max_length:
            self.cut += 1
            ids, segments = self.tokenizer.encode(text, maxlen=self.max_length)
        return Text(number, ids, segments)

    def run(
        self, texts: list[Text], is_last: bool
    ) -> Generator[tuple[np.ndarray, np.ndarray], None, list[Text]]:
        """Yield (numbers, vectors) of full batches, or of all texts if these are the last. Returns the other texts."""
        if not texts:
            return []
        done: set[int] = set()
        ids, segments = [one.ids for one in texts], [one.segments for one in texts]
        for batch, (vectors,) in self.packed.run(ids, segments, is_last):
            done.update(place.text for place in batch.places)
            rows, numbers = zip(*[(place.row, place.number) for place in batch.places])
            chosen = vectors[np.array(rows), np.array(numbers)].astype("float32")
            yield np.array([texts[place.text].number for place in batch.places]), self.normalized(chosen)
        return [one for i, one in enumerate(texts) if i not in done]

    def normalized(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of length 1 if `normalize` is set; otherwise the vectors."""
        return unit_vectors(vectors) if self.normalize else vectors

    def similarity(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Cosine of each pair of vectors: (a, size), (b, size) → (a, b)."""
        return unit_vectors(np.atleast_2d(one)) @ unit_vectors(np.atleast_2d(other)).T

    @property
    def size(self) -> int:
        """Numbers in a vector."""
        return self.transformer.hidden_size


def unit_vectors(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def settings_of(folder: str) -> dict[str, Any]:
    """Pooling, normalization and length that a folder of sentence-transformers has; {} for another folder.

    Raises:
        ValueError: the folder has a layer that is none of these.
    """
    settings: dict[str, Any] = {}
    for module in read_json(os.path.join(folder, "modules.json")) or []:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            modes = read_json(os.path.join(folder, module["path"], "config.json")) or {}
            chosen = [name for key, name in POOLING_KEYS.items() if modes.get(key)]
            if len(chosen) != 1:
                raise ValueError(
                    f"'{folder}': its pooling is none of {', '.join(POOLING_KEYS.values())}. Give pooling=…"
                )
            settings["pooling"] = chosen[0]
        elif kind == "Normalize":
            settings["normalize"] = True
        elif kind != "Transformer":
            raise ValueError(
                f"'{folder}' has a layer {kind} of sentence-transformers, which is not supported. Build the model by "
                "build_transformer_model and give the transformer"
            )
    length = (read_json(os.path.join(folder, "sentence_bert_config.json")) or {}).get("max_seq_length")
    return dict(settings, max_length=length) if length else settings
