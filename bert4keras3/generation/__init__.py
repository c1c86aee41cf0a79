"""Text from decoders with cached keys and values, on Keras 3."""

from bert4keras3.generation.cached_model import CachedModel
from bert4keras3.generation.generator import Generator
from bert4keras3.generation.prompt_model import PromptModel

__all__ = ["CachedModel", "Generator", "PromptModel"]
