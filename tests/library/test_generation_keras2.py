"""On Keras 2, generation with cached keys and values says what it needs."""

import pytest
from small_models import SIZES

from bert4keras3.backend import FLAVOUR
from bert4keras3.generation import CachedModel, Generator
from bert4keras3.models import build_transformer_model

pytestmark = pytest.mark.skipif(FLAVOUR == "keras3", reason="Keras 3 can do it: test_generation.py")


def test_cached_generation_names_the_keras_that_it_needs(fresh_session):
    transformer = build_transformer_model(model="gpt2", return_keras_model=False, **SIZES)
    for make in (Generator, CachedModel, lambda model: model.build_cache_model([8], 1)):
        with pytest.raises(ImportError, match="Keras 3.*AutoRegressiveDecoder"):
            make(transformer)
