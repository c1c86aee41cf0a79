"""Models in bfloat16 and int8 on Keras 3, for the studies that compare number formats."""

import warnings

from bert4keras3.backend import keras


def build_in_format(form, build, model_of):
    """build(), with weights in "float32", "bfloat16", or "int8".

    "int8 weights" leaves the inputs of matmuls as they are, "int8 matmuls" leaves the tables of embeddings as they are.

    Args:
        model_of: function from what `build` returns to the Keras model.
    """
    keras.config.set_dtype_policy("bfloat16" if form == "bfloat16" else "float32")
    built = build()
    keras.config.set_dtype_policy("float32")
    if form.startswith("int8"):
        quantizer = {"activation_quantizer": None} if form == "int8 weights" else {}
        chosen = {"filters": is_no_embedding} if form == "int8 matmuls" else {}
        with warnings.catch_warnings():  # layers without a matrix have no quantize
            warnings.simplefilter("ignore")
            model_of(built).quantize(config=keras.quantizers.Int8QuantizationConfig(**quantizer), **chosen)
    return built


def is_no_embedding(layer):
    return not isinstance(layer, keras.layers.Embedding)
