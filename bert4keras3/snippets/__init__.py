"""Helpers for users' scripts: text, padding, batches, decoding, parallel work.

They need NumPy and the standard library only; the few functions that need Keras import it when they run. Results equal
those of bert4keras 0.11.5. If bert4keras crashes or is wrong, the docstring says what happens here.
"""

import json
import logging
import os
import re
import sys
import unicodedata
from collections import defaultdict

import numpy as np

from bert4keras3.snippets.arguments import delete_arguments, insert_arguments
from bert4keras3.snippets.arrays import orthogonally_resize, softmax
from bert4keras3.snippets.buckets import predict_in_buckets
from bert4keras3.snippets.data_generator import DataGenerator
from bert4keras3.snippets.decoding import AutoRegressiveDecoder
from bert4keras3.snippets.files import open
from bert4keras3.snippets.memo import Memo
from bert4keras3.snippets.parallel import parallel_apply, parallel_apply_generator
from bert4keras3.snippets.sequences import (
    is_one_of,
    longest_common_subsequence,
    longest_common_substring,
    sequence_padding,
    to_array,
    truncate_sequences,
)
from bert4keras3.snippets.text import (
    convert_to_str,
    convert_to_unicode,
    is_string,
    lowercase_and_normalize,
    string_matching,
    strQ2B,
    text_segmentate,
)
from bert4keras3.snippets.viterbi import ViterbiDecoder
from bert4keras3.snippets.web_serving import WebServing

# Scripts still import uniout, which made Python 2 print Chinese in lists; Python 3 prints it anyway.
uniout = None
is_py2 = False

__all__ = [
    "AutoRegressiveDecoder",
    "DataGenerator",
    "K",
    "Memo",
    "ViterbiDecoder",
    "WebServing",
    "convert_to_str",
    "convert_to_unicode",
    "defaultdict",
    "delete_arguments",
    "insert_arguments",
    "is_one_of",
    "is_py2",
    "is_string",
    "json",
    "keras",
    "logging",
    "longest_common_subsequence",
    "longest_common_substring",
    "lowercase_and_normalize",
    "np",
    "open",
    "os",
    "orthogonally_resize",
    "parallel_apply",
    "parallel_apply_generator",
    "predict_in_buckets",
    "re",
    "sequence_padding",
    "softmax",
    "strQ2B",
    "string_matching",
    "sys",
    "text_segmentate",
    "to_array",
    "truncate_sequences",
    "unicodedata",
    "uniout",
]


def __getattr__(name):
    """`K`, `keras` and `tf` of the backend; Keras is imported when a script first uses one of them."""
    if name not in ("K", "keras", "tf"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bert4keras3 import backend

    return getattr(backend, name)
