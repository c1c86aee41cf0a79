"""A batch spread over devices gives what one device gives."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bert4keras3.backend import framework
from bert4keras3.models import build_transformer_model, data_parallel
from parity.models.releases import BY_NAME
from parity.store import release_paths

pytestmark = pytest.mark.usefixtures("fresh_session")

CONFIG, CHECKPOINT = (str(path) for path in release_paths(BY_NAME["google_bert"]))
TOKENS = np.array([[2, 5, 9, 0], [3, 7, 0, 0], [4, 0, 0, 0], [6, 8, 1, 2]])
INPUTS = [TOKENS, np.zeros_like(TOKENS)]
on_tensorflow = pytest.mark.skipif(
    framework != "tensorflow", reason="a layer spreads batches on TensorFlow only"
)


@pytest.fixture
def model():
    return build_transformer_model(CONFIG, CHECKPOINT, with_nsp=True, with_mlm=True)


@on_tensorflow
@pytest.mark.parametrize("parts", [None, [1, 3]])
def test_devices_share_a_batch(model, parts):
    parallel = data_parallel(model, ["/device:CPU:0"] * 2, parts)
    for one, many in zip(model.predict(INPUTS), parallel.predict(INPUTS)):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-6)


@on_tensorflow
def test_weights_are_not_doubled(model):
    parallel = data_parallel(model, ["/device:CPU:0"] * 2)
    assert len(parallel.trainable_weights) == len(model.trainable_weights)


# JAX gets two devices before it starts.
TWO_DEVICES = """
import numpy as np
from bert4keras3.models import build_transformer_model, data_parallel

config, checkpoint = %r, %r
inputs = [np.array(%r), np.zeros((4, 4))]
expected = build_transformer_model(config, checkpoint).predict(inputs, verbose=0)
model = data_parallel(build_transformer_model(config, checkpoint), ["cpu:0", "cpu:1"])
np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-6)
model.compile("sgd", "mse")
model.fit(inputs, expected, batch_size=4, verbose=0)
assert len(model.trainable_weights[0].value.sharding.device_set) == 2
"""


@pytest.mark.skipif(framework != "jax", reason="keras.distribution is for JAX")
def test_keras_distributes_on_jax():
    flags = dict(os.environ, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    script = TWO_DEVICES % (CONFIG, CHECKPOINT, TOKENS.tolist())
    subprocess.run([sys.executable, "-c", script], check=True, env=flags)


@pytest.mark.skipif(framework != "torch", reason="the message is for PyTorch")
def test_pytorch_says_what_to_do(model):
    with pytest.raises(NotImplementedError, match="DistributedDataParallel"):
        data_parallel(model, ["cpu", "cpu"])


@pytest.mark.parametrize("devices, parts", [([], None), (["cpu:0", "cpu:0"], [1])])
def test_wrong_devices_are_refused(model, devices, parts):
    with pytest.raises(ValueError, match="data_parallel"):
        data_parallel(model, devices, parts)
