"""Vectors of a column of a Spark DataFrame."""

from __future__ import annotations

import os
from typing import Any

from bert4keras3.text_encoder import TextEncoder


def vectors_udf(model: str | os.PathLike[str], batch_size: int = 1024, **options: Any) -> Any:
    """Function of a column of texts: their vectors, as `array<float>`. A Python worker of Spark loads the model once.

    Args:
        model: a folder that all machines see, or "hf://organisation/name", as for `TextEncoder`.
        batch_size: texts that are sorted and computed together.
        options: of `TextEncoder`: `pooling`, `normalize`, `max_length`.

    Raises:
        ImportError: PySpark is not installed.
    """
    try:
        from pyspark.ml.functions import predict_batch_udf
        from pyspark.sql.types import ArrayType, FloatType
    except ImportError as error:
        raise ImportError("vectors_udf needs PySpark: pip install 'bert4keras3[spark]'") from error

    def load():
        encoder = TextEncoder(model, **options)
        return lambda texts: encoder.encode(texts.tolist(), show_progress=False)

    return predict_batch_udf(load, return_type=ArrayType(FloatType()), batch_size=batch_size)
