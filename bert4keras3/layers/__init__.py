"""All layers of Keras and of bert4keras: `from bert4keras3.layers import *`."""

from bert4keras3.backend import (
    Layer,
    align,
    apply_rotary_position_embeddings,
    attention_normalize,
    integerize_shape,
    keras,
    recompute_grad,
    script_names,
    sequence_masking,
    serializable,
    sinusoidal_embeddings,
)
from bert4keras3.backend.absent import absent
from bert4keras3.backend.script_names import *  # noqa: F403
from bert4keras3.layers.attention import MultiHeadAttention
from bert4keras3.layers.batches import BatchConcat, BatchSplit
from bert4keras3.layers.dropout import Dropout
from bert4keras3.layers.embeddings import Embedding, PaddedEmbedding
from bert4keras3.layers.feed_forward import FeedForward
from bert4keras3.layers.gated_attention import GatedAttentionUnit
from bert4keras3.layers.loss import Loss
from bert4keras3.layers.masks import AttentionBias, CausalMask, UniLMMask
from bert4keras3.layers.merging import Add, Concatenate1D
from bert4keras3.layers.normalization import LayerNormalization, ScaleOffset
from bert4keras3.layers.packing import TextMask, TextPooling, TextStart, TextTokens, WithoutMask
from bert4keras3.layers.pointers import EfficientGlobalPointer, GlobalPointer
from bert4keras3.layers.pooling import FirstToken, GlobalAveragePooling1D, GlobalMaxPooling1D, LastToken
from bert4keras3.layers.positions import (
    PaddedPositionEmbedding,
    PositionEmbedding,
    RelativePositionEmbedding,
    RelativePositionEmbeddingT5,
    SinusoidalPositionEmbedding,
)
from bert4keras3.layers.tagging import ConditionalRandomField, MaximumEntropyMarkovModel

__all__ = [
    "Add",
    "AttentionBias",
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
    "PaddedEmbedding",
    "PaddedPositionEmbedding",
    "PositionEmbedding",
    "RelativePositionEmbedding",
    "RelativePositionEmbeddingT5",
    "ScaleOffset",
    "SinusoidalPositionEmbedding",
    "TextMask",
    "TextPooling",
    "TextStart",
    "TextTokens",
    "UniLMMask",
    "WithoutMask",
]
custom_objects = {name: globals()[name] for name in __all__}
for _name in __all__:
    serializable(globals()[_name])

OWN_LAYER = "Keras 3 has removed it. Write a subclass of Layer."
ABSENT = {
    "AbstractRNNCell": "Keras 3 needs no base class. Write a Layer with state_size and call(inputs, states).",
    "AtrousConvolution1D": "Write Conv1D(…, dilation_rate=…).",
    "AtrousConvolution2D": "Write Conv2D(…, dilation_rate=…).",
    "ConvLSTM2DCell": "Write ConvLSTM2D.",
    "ConvRecurrent2D": "Write ConvLSTM2D.",
    "CuDNNGRU": "Write GRU, which uses cuDNN if possible.",
    "CuDNNLSTM": "Write LSTM, which uses cuDNN if possible.",
    "Deconvolution2D": "Write Conv2DTranspose.",
    "Deconvolution3D": "Write Conv3DTranspose.",
    "DenseFeatures": "Write keras.utils.FeatureSpace.",
    "Highway": OWN_LAYER,
    "LocallyConnected1D": OWN_LAYER,
    "LocallyConnected2D": OWN_LAYER,
    "MaxoutDense": OWN_LAYER,
    "Node": "It is internal to Keras 2.",
    "NodeBase": "It is internal to Keras 2.",
    "Recurrent": "Write RNN.",
    "ThresholdedReLU": "Write ReLU(threshold=…).",
    "tf": script_names.NO_TENSORFLOW,
}
__getattr__ = absent(__name__, ABSENT, keras.layers)

activations = keras.activations
initializers = keras.initializers
__all__ += script_names.__all__ + [
    "Layer",
    "activations",
    "align",
    "apply_rotary_position_embeddings",
    "attention_normalize",
    "custom_objects",
    "initializers",
    "integerize_shape",
    "recompute_grad",
    "sequence_masking",
    "sinusoidal_embeddings",
]
__all__ += [
    name
    for name in dir(keras.layers)
    if not name.startswith("_") and callable(getattr(keras.layers, name)) and name not in __all__
]
