"""Keras 2: keras 2.3.1 and tf.keras."""
