"""Every layer by name, Keras's own and ours: `from bert4keras3.layers import *`."""

from bert4keras3.backend import keras, serializable
from bert4keras3.layers.attention import MultiHeadAttention
from bert4keras3.layers.batches import BatchConcat, BatchSplit
from bert4keras3.layers.dropout import Dropout
from bert4keras3.layers.embeddings import Embedding
from bert4keras3.layers.feed_forward import FeedForward
from bert4keras3.layers.gated_attention import GatedAttentionUnit
from bert4keras3.layers.loss import Loss
from bert4keras3.layers.masks import CausalMask, UniLMMask
from bert4keras3.layers.merging import Add, Concatenate1D
from bert4keras3.layers.normalization import LayerNormalization, ScaleOffset
from bert4keras3.layers.pointers import EfficientGlobalPointer, GlobalPointer
from bert4keras3.layers.pooling import FirstToken, GlobalAveragePooling1D, GlobalMaxPooling1D, LastToken
from bert4keras3.layers.positions import (
    PositionEmbedding,
    RelativePositionEmbedding,
    RelativePositionEmbeddingT5,
    SinusoidalPositionEmbedding,
)
from bert4keras3.layers.tagging import ConditionalRandomField, MaximumEntropyMarkovModel

__all__ = [
    "Add",
    "BatchConcat",
    "BatchSplit",
    "CausalMask",
    "Concatenate1D",
    "ConditionalRandomField",
    "Dropout",
    "EfficientGlobalPointer",
    "Embedding",
    "FeedForward",
    "FirstToken",
    "GatedAttentionUnit",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "GlobalPointer",
    "LastToken",
    "LayerNormalization",
    "Loss",
    "MaximumEntropyMarkovModel",
    "MultiHeadAttention",
    "PositionEmbedding",
    "RelativePositionEmbedding",
    "RelativePositionEmbeddingT5",
    "ScaleOffset",
    "SinusoidalPositionEmbedding",
    "UniLMMask",
]
for _name in __all__:
    serializable(globals()[_name])
__all__ += [name for name in dir(keras.layers) if name[0].isupper() and name not in __all__]


def __getattr__(name):
    """A layer of Keras for which there is none of ours."""
    return getattr(keras.layers, name)
