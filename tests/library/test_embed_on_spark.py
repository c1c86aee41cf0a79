"""Vectors of a column of a Spark DataFrame."""

import sys

import numpy as np
import pytest
from test_embed import LINES
from test_text_encoder import folder_of_sentence_transformers

from bert4keras3.embed.on_spark import vectors_udf
from bert4keras3.text_encoder import TextEncoder


def test_a_missing_spark_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ImportError, match=r"pip install 'bert4keras3\[spark\]'"):
        vectors_udf("model/")


@pytest.mark.slow
def test_vectors_of_a_column_are_those_of_the_encoder(tmp_path, monkeypatch):
    sql = pytest.importorskip(
        "pyspark.sql", reason="PySpark is not installed in this pairing: nox -s engines"
    )
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    model = folder_of_sentence_transformers(tmp_path / "model")
    spark = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        frame = spark.createDataFrame([(i, line) for i, line in enumerate(LINES)], ["number", "text"])
        udf = vectors_udf(str(model), batch_size=7, normalize=False)
        rows = frame.repartition(3).withColumn("vector", udf("text")).orderBy("number").collect()
    finally:
        spark.stop()
    expected = TextEncoder(model, normalize=False).encode(LINES, show_progress=False)
    assert [row["text"] for row in rows] == LINES
    np.testing.assert_allclose(np.array([row["vector"] for row in rows]), expected, atol=1e-5)
