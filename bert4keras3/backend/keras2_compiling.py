"""Compiled generation is for Keras 3."""


class Compiled(object):
    def __init__(self, *args):
        raise NotImplementedError(
            "Generation with cached keys and values needs Keras 3 (pip install bert4keras3[jax], [tensorflow] or "
            "[torch]). On this Keras, AutoRegressiveDecoder works with the model itself."
        )


CompiledLoop = write_column = Compiled
