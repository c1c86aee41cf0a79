"""Compiled generation is for Keras 3: `require_keras_3` says so before any of these is asked for."""

Compiled = CompiledLoop = write_column = None
