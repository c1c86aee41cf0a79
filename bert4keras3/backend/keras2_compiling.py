"""Compiled generation is for Keras 3."""


class Compiled(object):
    """Raises NotImplementedError, as do the others."""

    def __init__(self, *arguments, **options):
        need_keras_3()


def need_keras_3():
    raise NotImplementedError(
        "Generation with cached keys and values needs Keras 3 (pip install bert4keras3[jax], [tensorflow] or "
        "[torch]). On this Keras, AutoRegressiveDecoder works with the model itself."
    )


CompiledLoop = write_column = Compiled
