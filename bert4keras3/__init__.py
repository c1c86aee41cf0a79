"""bert4keras for every Keras: 2.3.1, tf.keras and Keras 3 on TensorFlow, JAX and PyTorch.

Importing the package imports no framework; `bert4keras3.backend` does.
"""

__version__ = "2.0.0.dev0"
