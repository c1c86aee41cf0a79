"""Keras 3 on TensorFlow, JAX and PyTorch; OpenVINO and NumPy compute without training."""
