"""Generation with cached keys and values, on Keras 3."""

from bert4keras3.generation.cached_call import Cache
from bert4keras3.generation.cached_model import CachedModel
from bert4keras3.generation.generator import Generator
from bert4keras3.generation.legacy_cache_model import PromptModel

__all__ = ["Cache", "CachedModel", "Generator", "PromptModel"]
