"""What is computed of single layers and backend functions, by the original library and by ours with the same code.

A case is data: arrays go by name ("@x" among a function's arguments), so that all of it fits into JSON.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

BATCH = LENGTH = 5  # equal, so that a (query, key, size) bias can come in as an input of a model
SIZE, HEADS, TAGS, VARIANTS = 6, 2, 4, 8

# all padding; length 1; left padding; token 0 in the middle; right padding
MASK = np.array(
    [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 0, 0]], "float32"
)


class Library(NamedTuple):
    """What the code below needs of a library under test.

    evaluate: function of a list of tensors, returns arrays. predict: function of (model, arrays), returns the outputs.
    compile: makes a function of tensors quick to call again, if it would be compiled at each call.
    """

    keras: Any
    layers: Any
    backend: Any
    Layer: Any
    to_tensor: Callable
    to_bool: Callable
    evaluate: Callable
    predict: Callable
    floatx: str
    compile: Callable = lambda function: function


def layer(name, inputs="x", masked="x", call=None, method=None, **arguments):
    """A layer's output, or what its `method` returns for y_true and y_pred. masked: the inputs that come with MASK."""
    given = dict(inputs=inputs.split(), masked=masked.split(), call=call or {})
    return {"layer": name, "arguments": arguments, **given, "method": method}


def function(name, *arguments, **keywords):
    return {"function": name, "arguments": list(arguments), "keywords": keywords}


def attention(inputs, masked="x y z", call=None, **arguments):
    return layer("MultiHeadAttention", inputs, masked, call, heads=HEADS, head_size=4, **arguments)


def gated(inputs="x", masked="x", call=None, **arguments):
    return layer("GatedAttentionUnit", inputs, masked, call, units=8, key_size=4, **arguments)


def pointer(name, **arguments):
    return layer(name, heads=HEADS, head_size=4, **arguments)


CASES: dict[str, dict[str, Any]] = {
    "average-pooling": layer("GlobalAveragePooling1D"),
    "max-pooling": layer("GlobalMaxPooling1D"),
    "max-pooling-unmasked": layer("GlobalMaxPooling1D", masked=""),
    "embedding": layer("Embedding", "ids", "", input_dim=7, output_dim=4, mask_zero=True),
    "embedding-dense": layer("Embedding", "x", "x", {"mode": "dense"}, input_dim=7, output_dim=SIZE),
    "scale-offset": layer("ScaleOffset"),
    "scale-offset-constants": layer("ScaleOffset", scale=0.5, offset=-0.25),
    "scale-offset-conditional": layer("ScaleOffset", "x condition", conditional=True),
    "layer-norm": layer("LayerNormalization"),
    "layer-norm-epsilon": layer("LayerNormalization", epsilon=1e-3, offset=False),
    "layer-norm-rms": layer("LayerNormalization", zero_mean=False, scale=False, offset=False),
    "layer-norm-centred": layer("LayerNormalization", unit_variance=False),
    "layer-norm-conditional": layer("LayerNormalization", "x condition", conditional=True),
    "layer-norm-conditional-hidden": layer(
        "LayerNormalization", "x condition", conditional=True, hidden_units=3, hidden_activation="relu"
    ),
    "concatenate": layer("Concatenate1D", "x y", "x y"),
    "concatenate-one-mask": layer("Concatenate1D", "x y", "y"),
    "batch-split": layer("BatchSplit", parts=2),
    "batch-split-shares": layer("BatchSplit", parts=[1, 3]),
    "batch-split-many": layer("BatchSplit", "x y", "x y", parts=3),
    "batch-concat": layer("BatchConcat", "x y", "x y"),
    "batch-concat-one-mask": layer("BatchConcat", "x y", "x"),
    "attention": attention("x y z"),
    "attention-sizes": attention("x y z", key_size=2, out_dim=3, use_bias=False, attention_scale=False),
    "attention-scores": attention("x y z", return_attention_scores=True),
    "attention-squared-relu": attention("x y z", normalization="squared_relu"),
    "attention-softmax-plus": attention("x y z", normalization="softmax_plus"),
    "attention-bias": attention("x y z bias", call={"a_bias": True}),
    "attention-rotary": attention("x y z position", call={"p_bias": "rotary"}),
    "attention-typical-relative": attention("x y z relative", call={"p_bias": "typical_relative"}),
    "attention-t5-relative": attention("x y z buckets", call={"p_bias": "t5_relative"}),
    "attention-bias-rotary": attention("x y z bias position", call={"a_bias": True, "p_bias": "rotary"}),
    "gated-attention": gated(),
    "gated-attention-softmax-plus": gated(normalization="softmax_plus", use_bias=False),
    "gated-attention-rotary": gated("x position", call={"p_bias": "rotary"}),
    "gated-attention-bias": gated("x bias", call={"a_bias": True}, normalization="softmax"),
    "gated-attention-cross": gated("x y z", "x y z", self_attention=False),
    "position": layer("PositionEmbedding", input_dim=9, output_dim=SIZE),
    "position-mul": layer("PositionEmbedding", input_dim=9, output_dim=SIZE, merge_mode="mul"),
    "position-zero": layer("PositionEmbedding", input_dim=9, output_dim=3, merge_mode="zero"),
    "position-concat": layer("PositionEmbedding", input_dim=9, output_dim=3, merge_mode="concat"),
    "position-hierarchical": layer("PositionEmbedding", input_dim=3, output_dim=SIZE, hierarchical=True),
    "position-alpha": layer("PositionEmbedding", input_dim=3, output_dim=SIZE, hierarchical=0.3),
    "position-custom": layer(
        "PositionEmbedding", "x ids", input_dim=9, output_dim=SIZE, custom_position_ids=True
    ),
    "sinusoidal": layer("SinusoidalPositionEmbedding", output_dim=SIZE),
    "sinusoidal-mul": layer("SinusoidalPositionEmbedding", output_dim=SIZE, merge_mode="mul"),
    "sinusoidal-zero": layer("SinusoidalPositionEmbedding", output_dim=4, merge_mode="zero"),
    "sinusoidal-concat": layer("SinusoidalPositionEmbedding", output_dim=4, merge_mode="concat"),
    "sinusoidal-custom": layer(
        "SinusoidalPositionEmbedding", "x ids", output_dim=SIZE, custom_position_ids=True
    ),
    "relative": layer("RelativePositionEmbedding", "x y", "", input_dim=5, output_dim=4),
    "relative-t5": layer("RelativePositionEmbeddingT5", "x y", "", input_dim=6, output_dim=4),
    "relative-t5-one-direction": layer(
        "RelativePositionEmbeddingT5",
        "x y",
        "",
        input_dim=4,
        output_dim=4,
        max_distance=4,
        bidirectional=False,
    ),
    "feed-forward": layer("FeedForward", units=8, activation="gelu"),
    "feed-forward-gated": layer("FeedForward", units=8, activation=["gelu", "linear"], use_bias=False),
    "pointer": pointer("GlobalPointer"),
    "pointer-no-rope": pointer("GlobalPointer", RoPE=False),
    "pointer-no-tril": pointer("GlobalPointer", tril_mask=False, use_bias=False),
    "pointer-bare": pointer("GlobalPointer", RoPE=False, tril_mask=False),
    "pointer-unmasked": layer("GlobalPointer", masked="", heads=HEADS, head_size=4),
    "efficient-pointer": pointer("EfficientGlobalPointer"),
    "efficient-pointer-no-rope": pointer("EfficientGlobalPointer", RoPE=False),
    "efficient-pointer-no-tril": pointer("EfficientGlobalPointer", tril_mask=False, use_bias=False),
    "efficient-pointer-bare": pointer("EfficientGlobalPointer", RoPE=False, tril_mask=False),
    "crf": layer("ConditionalRandomField", lr_multiplier=10),
    "memm": layer("MaximumEntropyMarkovModel", lr_multiplier=10, hidden_dim=3),
    "where": function("where", "@mask", "@ids", 0.5),
    "where-numbers": function("where", "@mask", 1.5, 2.5),
    "reshape": function("reshape", "@x", [-1, 2]),
    "reshape-axes": function("reshape", "@x", [3, -1], 2, [1, 5], 1),
    "flatten": function("flatten", "@x", 1),
    "align": function("align", "@ids", [0, -1], 4),
    "sequence-masking": function("sequence_masking", "@x", "@mask"),
    "sequence-masking-value": function("sequence_masking", "@bias", "@mask", -5.0, 2, "@bias"),
    "sequence-masking-axes": function("sequence_masking", "@bias", "@mask", 7.0, [1, 2]),
    "batch-gather": function("batch_gather", "@x", "@places"),
    "batch-gather-last": function("batch_gather", "@bias", "@places_each"),
    "pool-max": function("pool1d", "@x", 2),
    "pool-max-same": function("pool1d", "@x", 3, 2, "same"),
    "pool-average": function("pool1d", "@x", 3, 2, pool_mode="avg"),
    "pool-average-same": function("pool1d", "@x", 3, 1, "same", pool_mode="avg"),
    "divisible-padding": function("divisible_temporal_padding", "@x", 3),
    "divisible-padding-none": function("divisible_temporal_padding", "@x", 5),
    "piecewise-linear": function("piecewise_linear", "@times", {"1000": 1, "2000": 0.1}),
    "piecewise-linear-from-one": function(
        "piecewise_linear", "@times", {"500": 0.7, "1500": 0.2, "1750": 1}, from_zero=False
    ),
    "root-mean-square": function("root_mean_square", "@x", -1, True),
    "gelu-erf": function("gelu_erf", "@x"),
    "gelu-tanh": function("gelu_tanh", "@x"),
    "swish": function("swish", "@x"),
    "leaky-relu": function("leaky_relu", "@x", 0.3),
    "softmax-weights": function("attention_normalize", "@bias", "@mask"),
    "squared-relu-weights": function("attention_normalize", "@bias", "@mask", -1, "squared_relu", "@bias"),
    "softmax-plus-weights": function("attention_normalize", "@bias", method="softmax_plus"),
    "sinusoid": function("sinusoidal_embeddings", "@ids", 8),
    "sinusoid-base": function("sinusoidal_embeddings", "@ids", 4, 100),
    "rotary": function("apply_rotary_position_embeddings", "@position", "@rotated"),
    "multilabel": function("multilabel_categorical_crossentropy", "@many_labels", "@scores"),
    "multilabel-soft": function("multilabel_categorical_crossentropy", "@soft_labels", "@scores"),
    "multilabel-masked": function("multilabel_categorical_crossentropy", "@many_labels", "@masked_scores"),
    "sparse-multilabel": function("sparse_multilabel_categorical_crossentropy", "@few_labels", "@scores"),
    "sparse-multilabel-zero": function(
        "sparse_multilabel_categorical_crossentropy", "@few_labels", "@scores", mask_zero=True
    ),
}
for _name, _model, _arguments in (
    ("crf", "ConditionalRandomField", {}),
    ("crf-multiplied", "ConditionalRandomField", {"lr_multiplier": 10}),
    ("memm", "MaximumEntropyMarkovModel", {}),
    ("memm-hidden", "MaximumEntropyMarkovModel", {"lr_multiplier": 10, "hidden_dim": 3}),
):
    for _method in ("sparse_loss", "dense_loss", "sparse_accuracy", "dense_accuracy"):
        _true = "one_hot_tags" if _method.startswith("dense") else "tags"
        # backwards the reference reads scores that are masked, where something stands before the padding
        _scores = "padded_scores" if _name.startswith("memm") else "masked_scores"
        CASES["{}-{}".format(_name, _method.replace("_", "-"))] = layer(
            _model, f"{_true} {_scores}", "", method=_method, **_arguments
        )


def draw_inputs(draw: int) -> dict[str, np.ndarray]:
    random = np.random.RandomState(20 + draw)

    def normal(*shape):
        return random.normal(size=shape).astype("float32")

    arrays = {name: normal(BATCH, LENGTH, SIZE) for name in ("x", "y", "z")}
    arrays["mask"] = MASK
    arrays["ids"] = np.where(MASK > 0, random.randint(1, 7, MASK.shape), 0).astype("float32")
    arrays["places"] = random.randint(0, LENGTH, (BATCH, 3)).astype("float32")
    arrays["places_each"] = random.randint(0, LENGTH, (BATCH, LENGTH, 2)).astype("float32")
    arrays.update(condition=normal(BATCH, 3), bias=normal(BATCH, LENGTH, LENGTH))
    arrays.update(position=normal(BATCH, LENGTH, 4), rotated=normal(BATCH, LENGTH, HEADS, 4))
    arrays.update(relative=normal(LENGTH, LENGTH, 4), buckets=normal(LENGTH, LENGTH, HEADS))
    arrays["times"] = np.sort(random.uniform(-100, 2500, 40)).astype("float32")
    # the losses are few numbers each: of several draws, so that a lucky rounding decides nothing
    scores = 2 * normal(VARIANTS, BATCH, LENGTH, TAGS)
    tags = random.randint(0, TAGS, (VARIANTS, BATCH, LENGTH))
    arrays["scores"] = scores
    padding = np.arange(LENGTH) < np.array([[0], [1], [3], [4], [5]])
    arrays["padded_scores"] = np.where(padding[..., None], scores, -np.inf).astype("float32")
    arrays["masked_scores"] = np.where(MASK[..., None] > 0, scores, -np.inf).astype("float32")
    arrays["tags"] = tags.astype("float32")
    arrays["one_hot_tags"] = np.eye(TAGS, dtype="float32")[tags]
    arrays["many_labels"] = (random.uniform(size=scores.shape) < 0.4).astype("float32")
    arrays["soft_labels"] = random.uniform(size=scores.shape).astype("float32")
    few = np.array([[0, 0], [1, 0], [2, 3], [3, 0], [1, 2]], "float32")
    return dict(arrays, few_labels=few[random.randint(0, 5, (VARIANTS, BATCH, LENGTH))])


def compute(library: Library, case: dict[str, Any], arrays: dict[str, np.ndarray], weights: list[Any]):
    """Outputs of a case, a list of arrays. weights: of the layer, or a function of its own weights that draws them."""
    arrays = {name: value.astype(library.floatx) for name, value in arrays.items()}
    if "function" in case:
        return [compute_function(library, case, arrays)]
    made = getattr(library.layers, case["layer"])(**case["arguments"])
    if case["method"]:
        return [compute_method(library, case, arrays, made, weights)]
    Input, inputs, given = library.keras.layers.Input, [], []
    mask = Input(shape=(None,))
    for name in case["inputs"]:
        free = (None,) if name == "ids" else (None,) * (arrays[name].ndim - 2) + arrays[name].shape[-1:]
        inputs.append(Input(shape=free))
        given.append(mask_layer(library)([inputs[-1], mask]) if name in case["masked"] else inputs[-1])
    outputs = made(given if len(given) > 1 else given[0], **case["call"])
    set_weights(made, weights)
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    names, masks = (["mask"], [mask]) if case["masked"] else ([], [])
    values = [arrays[name] for name in case["inputs"] + names]
    return library.predict(library.keras.models.Model(inputs + masks, outputs), values)


def compute_method(library, case, arrays, made, weights):
    """Values of a layer's loss or metric, one for each variant."""
    true, predicted = [arrays[name] for name in case["inputs"]]
    made(library.keras.layers.Input(shape=predicted.shape[2:]))
    set_weights(made, weights)
    method = library.compile(getattr(made, case["method"]))
    values = [method(library.to_tensor(t), library.to_tensor(p)) for t, p in zip(true, predicted)]
    return np.array(library.evaluate(values))


def compute_function(library, case, arrays):
    def decoded(argument):
        if isinstance(argument, str) and argument.startswith("@"):
            return library.to_tensor(arrays[argument[1:]])
        if isinstance(argument, dict):
            return {float(key): value for key, value in argument.items()}
        return argument

    arguments = [decoded(argument) for argument in case["arguments"]]
    return library.evaluate([getattr(library.backend, case["function"])(*arguments, **case["keywords"])])[0]


def set_weights(made, weights):
    made.set_weights(weights(made) if callable(weights) else weights)


def mask_layer(library):
    """A layer that gives its first input the second as its mask."""

    class WithMask(library.Layer):
        def call(self, inputs, mask=None):
            return inputs[0] + 0

        def compute_mask(self, inputs, mask=None):
            return library.to_bool(inputs[1])

        def compute_output_shape(self, input_shape):
            return tuple(input_shape[0])

    return WithMask()
