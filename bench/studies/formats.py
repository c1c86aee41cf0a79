"""Models in bfloat16 and int8 on Keras 3, for the studies that compare number formats."""

import warnings

from bert4keras3.backend import keras


def build_in_format(form, build, model_of):
    """build(), with weights in "float32", "bfloat16", "int8", or "int8 weights", which leaves inputs as they are.

    Args:
        model_of: function from what `build` returns to the Keras model.
    """
    keras.config.set_dtype_policy("bfloat16" if form == "bfloat16" else "float32")
    built = build()
    keras.config.set_dtype_policy("float32")
    if form.startswith("int8"):
        quantizer = {} if form == "int8" else {"activation_quantizer": None}
        with warnings.catch_warnings():  # layers without a matrix have no quantize
            warnings.simplefilter("ignore")
            model_of(built).quantize(config=keras.quantizers.Int8QuantizationConfig(**quantizer))
    return built
