"""Questions about a layer after Keras's `quantize("int8")`."""


def is_int8(layer):
    return getattr(layer, "quantization_mode", None) == "int8" and not layer.lora_enabled


def rounds_inputs(layer):
    """Whether an int8 layer rounds its inputs too, with one scale for each token."""
    config = layer.quantization_config
    return config is None or config.activation_quantizer is not None
