"""Weights that lie as a whole in one process: what every Keras answers but Keras 3 on JAX, see keras3/jax_shards.py."""


def is_sharded(weight):
    """Whether a weight lies on several devices."""
    return False


def process_place():
    """(number of this process, number of processes) of the job."""
    return 0, 1


def texts_of_processes(text):
    """A text of each process. All processes have to call it."""
    return [text]
