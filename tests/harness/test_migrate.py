"""`python -m bert4keras3.migrate`: what it rewrites, what it leaves alone, what it finds, and the files it writes."""

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from parity.store import ROOT

pytest.importorskip("libcst", reason="bert4keras3[migrate] is not installed")

from bert4keras3.migrate import __main__ as command  # noqa: E402
from bert4keras3.migrate import migrate_source  # noqa: E402
from bert4keras3.migrate.tables import ADVICE, NOTES, SENTENCES  # noqa: E402

MIRROR = Path(os.environ.get("BERT4KERAS_MIRROR", "/work/.mirror/bojone+bert4keras/repo"))

# What each row is about → (before, after).
REWRITES = {
    "import of a name": ("from bert4keras.layers import *", "from bert4keras3.layers import *"),
    "import with comment": (
        "from bert4keras.backend import keras, K  # 后端\n",
        "from bert4keras3.backend import keras, K  # 后端\n",
    ),
    "import in parentheses": (
        "from bert4keras.backend import (\n    keras,  # one\n    K,\n)\n",
        "from bert4keras3.backend import (\n    keras,  # one\n    K,\n)\n",
    ),
    "import of the package": (
        "import bert4keras\nprint(bert4keras.__version__)\n",
        "import bert4keras3\nprint(bert4keras3.__version__)\n",
    ),
    "import of a module": (
        "import os, bert4keras.models\nbert4keras.models.build_transformer_model('x')\n",
        "import os, bert4keras3.models\nbert4keras3.models.build_transformer_model('x')\n",
    ),
    "import under another name": (
        "import bert4keras.models as bert4keras\nbert4keras.BERT\n",
        "import bert4keras3.models as bert4keras\nbert4keras.BERT\n",
    ),
    "dotted use of K": (
        "import bert4keras.backend\nbert4keras.backend.K.sum(1)\n",
        "import bert4keras3.backend\nbert4keras3.backend.K.sum(1)\n",
    ),
    "import in a function": (
        "def f():\n    import bert4keras\n    return bert4keras.models\n",
        "def f():\n    import bert4keras3\n    return bert4keras3.models\n",
    ),
    "importlib": (
        "import importlib\nimportlib.import_module('bert4keras.models')\n__import__('bert4keras')\n",
        "import importlib\nimportlib.import_module('bert4keras3.models')\n__import__('bert4keras3')\n",
    ),
    "lr of Keras": (
        "from keras.optimizers import Adam\nAdam(lr=1e-5)  # small\n",
        "from keras.optimizers import Adam\nAdam(learning_rate=1e-5)  # small\n",
    ),
    "lr of bert4keras": (
        "from bert4keras.optimizers import Adam as A\nA(\n    lr = 2e-5,\n)\n",
        "from bert4keras3.optimizers import Adam as A\nA(\n    learning_rate = 2e-5,\n)\n",
    ),
    "lr by keras of bert4keras": (
        "from bert4keras.backend import keras\nkeras.optimizers.SGD(lr=0.1, decay=0.)\n",
        "from bert4keras3.backend import keras\nkeras.optimizers.SGD(learning_rate=0.1)\n",
    ),
    "lr of an extended optimizer": (
        "from bert4keras.optimizers import Adam, extend_with_weight_decay\n"
        "AdamW = extend_with_weight_decay(Adam, 'AdamW')\nAdamW(lr=1e-5, weight_decay_rate=0.01)\n",
        "from bert4keras3.optimizers import Adam, extend_with_weight_decay\n"
        "AdamW = extend_with_weight_decay(Adam, 'AdamW')\nAdamW(learning_rate=1e-5, weight_decay_rate=0.01)\n",
    ),
    "lr by a star import": (
        "from keras.optimizers import *\nAdam(lr=1e-5)\n",
        "from keras.optimizers import *\nAdam(learning_rate=1e-5)\n",
    ),
    "lower case optimizer": (
        "from keras.optimizers import adam\nadam(lr=1e-5)\n",
        "from keras.optimizers import Adam as adam\nadam(learning_rate=1e-5)\n",
    ),
    "epsilon=None": (
        "import keras\nkeras.optimizers.Adam(lr=1e-5, epsilon=None, amsgrad=False)\n",
        "import keras\nkeras.optimizers.Adam(learning_rate=1e-5, amsgrad=False)\n",
    ),
    "optimizer.lr": (
        "from bert4keras.backend import K\ndef f(model):\n    K.set_value(model.optimizer.lr, 1e-6)\n",
        "from bert4keras3.backend import K\ndef f(model):\n    K.set_value(model.optimizer.learning_rate, 1e-6)\n",
    ),
    "fit_generator": (
        "from keras.models import Model\nmodel = Model(a, b)\n"
        "model.fit_generator(\n    g.forfit(),  # batches\n    steps_per_epoch=3,\n    workers=1\n)\n",
        "from keras.models import Model\nmodel = Model(a, b)\n"
        "model.fit(\n    g.forfit(),  # batches\n    steps_per_epoch=3\n)\n",
    ),
    "fit_generator by position": (
        "def train(model, g):\n    model.fit_generator(g, 10, 2, 1, [callback], v, 5)\n",
        "def train(model, g):\n    model.fit(g, steps_per_epoch=10, epochs=2, verbose=1, callbacks=[callback], "
        "validation_data=v, validation_steps=5)\n",
    ),
    "fit_generator by keyword": (
        "self.model.fit_generator(generator=g, max_queue_size=10, epochs=2)\n",
        "self.model.fit(x=g, epochs=2)\n",
    ),
    "predict_generator": (
        "model.predict_generator(g.fortest(), steps=len(g), use_multiprocessing=False, )\n",
        "model.predict(g.fortest(), steps=len(g), )\n",
    ),
    "evaluate_generator": ("model.evaluate_generator(g, 3)\n", "model.evaluate(g, steps=3)\n"),
    "fit with workers": (
        "model.fit(g, epochs=2, workers=1)\n",
        "model.fit(g, epochs=2)\n",
    ),
    "input and output of Model": (
        "from keras.models import Model\nModel(input=a, output=b)\n",
        "from keras.models import Model\nModel(inputs=a, outputs=b)\n",
    ),
    "files of weights": (
        "model.save_weights('./best.weights')\nif os.path.exists('best.weights'):\n"
        '    model.load_weights(u"best.weights")\n',
        "model.save_weights('./best.weights.h5')\nif os.path.exists('best.weights.h5'):\n"
        '    model.load_weights(u"best.weights.h5")\n',
    ),
    "files of weights by a constant": (
        "path = 'out/best.h5'\nmodel.save_weights(path)\nmodel.load_weights(path)\n",
        "path = 'out/best.weights.h5'\nmodel.save_weights(path)\nmodel.load_weights(path)\n",
    ),
    "files of weights by os.path.join": (
        "import os\nmodel.save_weights(os.path.join(d, 'a.weights'))\nmodel.load_weights(d + 'a.weights')\n",
        "import os\nmodel.save_weights(os.path.join(d, 'a.weights.h5'))\nmodel.load_weights(d + 'a.weights.h5')\n",
    ),
    "files of weights by formats": (
        "model.save_weights(f'{d}/a.weights')\nmodel.save_weights('%s.hdf5' % d)\n"
        "model.save_weights('{}.w'.format(d))\n",
        "model.save_weights(f'{d}/a.weights.h5')\nmodel.save_weights('%s.weights.h5' % d)\n"
        "model.save_weights('{}.w.weights.h5'.format(d))\n",
    ),
    "word as a file": (
        "model.save_weights('best')\nd['best'] = 1\n",
        "model.save_weights('best.weights.h5')\nd['best'] = 1\n",
    ),
    "save_format": (
        "model.save_weights('a', save_format='tf')\n",
        "model.save_weights('a.weights.h5')\n",
    ),
    "ModelCheckpoint of weights": (
        "from bert4keras.backend import keras\n"
        "keras.callbacks.ModelCheckpoint('{epoch}.hdf5', save_weights_only=True, period=1)\n",
        "from bert4keras3.backend import keras\n"
        "keras.callbacks.ModelCheckpoint('{epoch}.weights.h5', save_weights_only=True)\n",
    ),
    "ModelCheckpoint of a model": (
        "from keras.callbacks import ModelCheckpoint\nModelCheckpoint(filepath='best.model')\n"
        "load_model('best.model')\n",
        "from keras.callbacks import ModelCheckpoint\nModelCheckpoint(filepath='best.model.keras')\n"
        "load_model('best.model.keras')\n",
    ),
    "file of a model": (
        "from keras.models import load_model\nm = load_model('a.h5')\nm.save('b.model')\nload_model('b.model')\n",
        "from keras.models import load_model\nm = load_model('a.h5')\nm.save('b.model.keras')\n"
        "load_model('b.model.keras')\n",
    ),
    "tensorflow.keras": (
        "from tensorflow.keras.layers import (\n    Dense,\n    Lambda,  # both\n)\n",
        "from keras.layers import (\n    Dense,\n    Lambda,  # both\n)\n",
    ),
    "tensorflow.python.keras": (
        "from tensorflow.python.keras.layers.core import Dense\n",
        "from keras.layers import Dense\n",
    ),
    "keras of tensorflow": (
        "from tensorflow import keras  # tf\n",
        "from bert4keras3.backend import keras  # tf\n",
    ),
    "keras and more of tensorflow": (
        "from tensorflow import keras, nn\n",
        "from bert4keras3.backend import keras\nfrom tensorflow import nn\n",
    ),
    "import tensorflow.keras as": (
        "import os, tensorflow.keras as keras\n",
        "import os\nfrom bert4keras3.backend import keras\n",
    ),
    "tf.keras alone": (
        "# first\nimport tensorflow as tf\nx = tf.keras.layers.Dense(2)\n",
        "# first\nfrom bert4keras3.backend import keras\nx = keras.layers.Dense(2)\n",
    ),
    "tf.keras beside tf": (
        "import tensorflow as tf\nx = tf.keras.layers.Dense(2)\nmodel = tf.io.gfile\n",
        "import tensorflow as tf\nfrom bert4keras3.backend import keras\nx = keras.layers.Dense(2)\n"
        "model = tf.io.gfile\n",
    ),
    "tf.keras with keras": (
        "import tensorflow as tf\nfrom bert4keras.backend import keras\ntf.keras.backend.sum(tf.keras.Input((1,)))\n",
        "from bert4keras3.backend import K\nfrom bert4keras3.backend import keras\nK.sum(keras.Input((1,)))\n",
    ),
    "keras = tf.keras": (
        "import tensorflow as tf\nkeras = tf.keras\nK = keras.backend\nkeras.optimizers.Adam(lr=1)\nK.exp(tf.shape)\n",
        "import tensorflow as tf\nfrom bert4keras3.backend import keras\nfrom bert4keras3.backend import K\n"
        "keras.optimizers.Adam(learning_rate=1)\nK.exp(tf.shape)\n",
    ),
    "backend as K": (
        "from keras import backend as K\nimport keras.backend as B\nK.sum(B.exp(x))\n",
        "from bert4keras3.backend import K\nfrom bert4keras3.backend import K as B\nK.sum(B.exp(x))\n",
    ),
    "backend and layers": (
        "from keras import layers, backend as K\n",
        "from keras import layers\nfrom bert4keras3.backend import K\n",
    ),
    "keras.backend.sum": (
        "import keras\nkeras.backend.sum(x) + keras.backend.floatx()\n",
        "import keras\nfrom bert4keras3.backend import K\nK.sum(x) + keras.backend.floatx()\n",
    ),
    "to_categorical": (
        "from keras.utils.np_utils import to_categorical\n",
        "from keras.utils import to_categorical\n",
    ),
    "np_utils": (
        "from keras.utils import np_utils\nnp_utils.to_categorical(x)\n",
        "from keras import utils as np_utils\nnp_utils.to_categorical(x)\n",
    ),
    "keras.engine": (
        "from keras.engine.topology import Layer, InputSpec\nfrom keras.engine import Model, Layer\n",
        "from keras.layers import Layer, InputSpec\nfrom keras.models import Model\nfrom keras.layers import Layer\n",
    ),
    "dotted private module": (
        "import keras\nclass A(keras.engine.topology.Layer):\n    b = keras.layers.core.Dense\n",
        "import keras\nclass A(keras.layers.Layer):\n    b = keras.layers.Dense\n",
    ),
    "import of a private module": (
        "import keras.layers.core\nkeras.layers.core.Dense(2)\n",
        "import keras.layers\nkeras.layers.Dense(2)\n",
    ),
    "short name of a loss": (
        "from keras.losses import mse\n",
        "from keras.losses import mean_squared_error as mse\n",
    ),
    "add_weight by position": (
        "from keras.layers import Layer\nclass A(Layer):\n    def build(self, shape):\n"
        "        self.w = self.add_weight('w', (3,), initializer='zeros')\n",
        "from keras.layers import Layer\nclass A(Layer):\n    def build(self, shape):\n"
        "        self.w = self.add_weight(name='w', shape=(3,), initializer='zeros')\n",
    ),
    "statements in one line": (
        "import os; from bert4keras.backend import keras, K; from tensorflow import keras, nn; x = 1\n",
        "import os; from bert4keras3.backend import keras, K; from bert4keras3.backend import keras; "
        "from tensorflow import nn; x = 1\n",
    ),
}

UNCHANGED = {
    "variable lr": "from keras.optimizers import Adam\nlr = 1e-5\nf(lr=lr)\nAdam(lr)\nself.lr = opts.lr\n",
    "function with lr": "from bert4keras3.models import BERT\ndef Adam(lr): pass\nAdam(lr=3)\n",
    "Adam of another library": "from torch.optim import Adam\nAdam(p, lr=1e-5)\nAdam(p).lr\n",
    "fit_generator of a module": "import other\nother.fit_generator(g, workers=2)\n",
    "fit_generator of another library": "import other\nother.Trainer().fit_generator(g, workers=2)\n",
    "fit_generator of a class here": (
        "class Mine:\n    def fit_generator(self, g): pass\n    def f(self):\n        self.fit_generator(1)\n"
        "m = Mine()\nm.fit_generator(g)\nm.total_loss\n"
    ),
    "fit of scikit-learn": "from sklearn.svm import SVC\nmodel = SVC()\nmodel.fit(x, workers=3)\n",
    "strings and comments": "# bert4keras Adam(lr=1)\nprint('bert4keras.models', 'tf.keras', 'fit_generator')\n",
    "name that starts alike": "import bert4keras_extra\nfrom bert4keras_extra.backend import keras\n",
    "parameter called keras": "def f(keras, bert4keras):\n    return keras.engine.Layer, bert4keras.models\n",
    "save of another library": "import torch\ntorch.save(x, 'a.model')\nimage.save('a.png')\n",
    "file that is only loaded": "model.load_weights('best.weights')\n",
    "file with the right name": "model.save_weights('best.weights.h5')\n",
    "new script": "from bert4keras3.backend import K, keras\nfrom keras.layers import Dense\nK.sum(keras.ops.exp(x))\n",
    "relative import": "from .bert4keras import keras\nfrom . import bert4keras\nbert4keras.models\n",
    "names that go round in a circle": "a = b\nb = a\na.lr\nx = x\nx.fit(g)\n",
    "empty": "",
}

# What is found → (source, [(line, kind), …]). Notes carry a minus.
FOUND = {
    "K.gradients": ("from bert4keras.backend import K\n\nK.gradients(a, b)\n", [(3, "gradients")]),
    "K of keras": ("import keras.backend as K\ng = K.gradients\n", [(2, "gradients")]),
    "train_function": (
        "def f(model):\n    model._make_train_function()\n    g = model.total_loss\n    model.train_function = g\n",
        [(2, "train_function"), (3, "train_function"), (4, "train_function")],
    ),
    "feeds": ("x = model._feed_inputs + model._feed_targets\n", [(1, "train_function")]),
    "session": (
        "import tensorflow as tf\nfrom keras.backend.tensorflow_backend import set_session\n"
        "set_session(tf.Session(config=tf.ConfigProto()))\n",
        [(2, "session"), (3, "session")],
    ),
    "tf.compat.v1": (
        "import tensorflow.compat.v1 as tf\ntf.disable_v2_behavior()\ntf.placeholder('int32')\n",
        [(2, "tensorflow1"), (3, "tensorflow1")],
    ),
    "contrib": ("import tensorflow as tf\ntf.contrib.layers.flatten(x)\n", [(2, "contrib")]),
    "any tf": ("import tensorflow as tf\ntf.reduce_sum(x)\n", [(2, "-tensorflow")]),
    "distribute": ("import tensorflow as tf\ns = tf.distribute.MirroredStrategy()\n", [(2, "distribute")]),
    "multi_gpu_model": (
        "from keras.utils import multi_gpu_model\nmodel = multi_gpu_model(model, 2)\n",
        [(1, "multi_gpu"), (2, "multi_gpu")],
    ),
    "updates of K.function": (
        "from bert4keras.backend import K\nK.function([a], [b])\nK.function([a], [b], updates=u)\n",
        [(3, "function_updates")],
    ),
    "get_updates": (
        "from keras.optimizers import Optimizer\nclass A(Optimizer):\n    def get_updates(self, loss, params):\n"
        "        pass\n",
        [(3, "get_updates")],
    ),
    "add_loss of a model": (
        "model.add_loss(x)\nmodel.add_metric(x, name='a')\n",
        [(1, "add_loss"), (2, "add_metric")],
    ),
    "add_metric of a layer": (
        "from bert4keras3.layers import Loss\nclass A(Loss):\n    def compute_loss(self, x):\n"
        "        self.add_metric(x, name='a')\n",
        [],
    ),
    "decay": ("from keras.optimizers import Adam\nAdam(1e-5, decay=1e-6)\n", [(2, "decay")]),
    "period": (
        "from keras.callbacks import ModelCheckpoint\nModelCheckpoint('a.h5', period=5)\n",
        [(2, "checkpoint_period")],
    ),
    "target_tensors": ("model.compile('adam', target_tensors=[y])\n", [(1, "compile_arguments")]),
    "by_name": ("model.load_weights('a.h5', by_name=True)\n", [(1, "by_name")]),
    "predict_classes": ("model.predict_classes(x)\n", [(1, "predict_classes")]),
    "learning phase": (
        "from keras import backend as K\nK.set_learning_phase(0)\nK.learning_phase()\n",
        [(2, "learning_phase")],
    ),
    "preprocessing": ("from keras.preprocessing.text import Tokenizer\n", [(1, "preprocessing")]),
    "layers that are gone": ("from keras.layers import CuDNNLSTM\n", [(1, "removed_layer")]),
    "losses that are gone": (
        "from keras.losses import kullback_leibler_divergence\n",
        [(1, "removed_function")],
    ),
    "keras_contrib": (
        "from keras_contrib.layers import CRF\nimport keras_bert\n",
        [(1, "other_library"), (2, "other_library")],
    ),
    "1.x of this name": ("from bert4keras3.Layers_add import FFN\n", [(1, "abandoned_port")]),
    "K.ctc_decode": ("from bert4keras.backend import K\nK.ctc_decode(a, b)\n", [(2, "missing_in_k")]),
    "name of keras.backend": ("from keras.backend import floatx, expand_dims\n", [(1, "backend_name")]),
    "private module": (
        "from keras.legacy import interfaces\nfrom keras.engine import network\n",
        [(1, "private_module"), (2, "private_module")],
    ),
    "closure": (
        "from keras.layers import Dense, Lambda\ny = Dense(2)(x)\nn = 3\n"
        "z = Lambda(lambda x: x * n)(y)\nz = Lambda(lambda x: x + y)(z)\n",
        [(5, "lambda_closure")],
    ),
    "validation_data": (
        "from keras.callbacks import Callback\nclass A(Callback):\n    def on_epoch_end(self, epoch, logs=None):\n"
        "        f(self.validation_data[0])\n",
        [(4, "validation_data")],
    ),
    "validation_data of one's own": (
        "from keras.callbacks import Callback\nclass A(Callback):\n    def __init__(self, v):\n"
        "        self.validation_data = v\n    def on_epoch_end(self, epoch, logs=None):\n"
        "        f(self.validation_data[0])\n",
        [],
    ),
    "attribute of one's own": (
        "from keras.models import Model\nclass A(Model):\n    def f(self, x):\n        self.total_loss = x\n",
        [],
    ),
    "replaced in a subclass": (
        "from keras.models import Model\nclass A(Model):\n    def f(self, x):\n        self.train_function = x\n",
        [(4, "train_function")],
    ),
    "name that is taken": (
        "import tensorflow as tf\nkeras = 3\nx = tf.keras.layers.Dense(2)\n",
        [(3, "name_taken")],
    ),
    "renamed file": ("a = 1\nmodel.save_weights('a.weights')\n", [(2, "-renamed_file")]),
    "workers": ("model.fit_generator(g, workers=4)\n", [(1, "-queue_argument")]),
    "object of another library": (
        "from mine import build\nm = build()\nm.fit_generator(g)\n",
        [(3, "-other_object")],
    ),
    "get_output_at": ("model.layers[-2].get_output_at(-1)\n", [(1, "-output_at")]),
    "fit_generator that is not called": ("f = model.fit_generator\n", [(1, "unfinished_call")]),
}


@pytest.mark.parametrize("what", REWRITES)
def test_source_is_rewritten(what):
    before, after = REWRITES[what]
    assert migrate_source(before)[0] == after
    ast.parse(after)


@pytest.mark.parametrize("what", REWRITES)
def test_rewritten_source_stays(what):
    after = REWRITES[what][1]
    assert migrate_source(after)[0] == after


@pytest.mark.parametrize("what", UNCHANGED)
def test_source_is_left_alone(what):
    source = UNCHANGED[what]
    new, findings = migrate_source(source)
    assert new == source
    assert [one for one in findings if not one.is_note] == []


@pytest.mark.parametrize("what", FOUND)
def test_finding_names_its_line(what):
    source, expected = FOUND[what]
    _, findings = migrate_source(source)
    assert [(one.line, "-" * one.is_note + one.kind) for one in findings] == expected


def test_each_kind_is_found_by_a_row():
    kinds = {kind.lstrip("-") for _, expected in FOUND.values() for _, kind in expected}
    special = {kind for kind in SENTENCES if " " not in kind}
    assert {advice.kind for advice in ADVICE} | special | set(NOTES) == kinds | {
        "inbound_nodes",
        "scikit_learn",
    }


def test_each_name_that_k_lacks_is_found():
    tree = ast.parse(
        (ROOT / "bert4keras3" / "backend" / "keras3" / "legacy_k.py").read_text(encoding="utf-8")
    )
    (missing,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MISSING"
    ]
    for name in ast.literal_eval(missing):
        _, findings = migrate_source(f"from bert4keras.backend import K\nK.{name}(x)\n")
        assert [one.line for one in findings if not one.is_note] == [2], name


@pytest.mark.parametrize(
    "source, sentence",
    [
        (
            "class G(Layer):\n    def call(self, x):\n        return K.gradients(x, [y])\n",
            "in the call of a layer",
        ),
        ("class G:\n    def call(self, x):\n        return K.gradients(x, [y])\n", "gradients(lambda: "),
        ("def f(t, p):\n    return K.gradients(t, [p])\nmodel.compile(loss=f)\n", "gradient_penalty(model, "),
        ("def f(m):\n    m.train_function = K.gradients(t, [p])\n", "delete f"),
    ],
)
def test_advice_on_gradients_is_that_of_their_use(source, sentence):
    _, findings = migrate_source("from bert4keras.backend import K\n" + source)
    assert any(one.kind == "gradients" and sentence in one.message for one in findings)


# Files


def run(capsys, *arguments):
    status = command.main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("from bert4keras.backend import keras\nmodel.fit_generator(g)\n")
    return path


def test_diff_is_shown_and_the_file_stays(capsys, script):
    before = script.read_text()
    status, out, _ = run(capsys, script)
    assert status == 0 and script.read_text() == before
    assert (
        "\n-model.fit_generator(g)\n" in out
        and "\n+model.fit(g)\n" in out
        and out.startswith(f"--- {script}\n")
    )


def test_diff_can_be_applied(capsys, script):
    _, out, _ = run(capsys, script)
    subprocess.run(["patch", str(script)], input=out.encode(), check=True, stdout=subprocess.DEVNULL)
    assert "bert4keras3" in script.read_text()


def test_write_changes_the_file_and_a_second_run_nothing(capsys, script):
    assert run(capsys, "--write", script)[0] == 0
    assert script.read_text() == "from bert4keras3.backend import keras\nmodel.fit(g)\n"
    assert run(capsys, script) == (0, "", "")


@pytest.mark.parametrize(
    "content",
    [
        "\ufefffrom bert4keras.backend import K\r\nx = '中'\r\n".encode(),
        "# -*- coding: gbk -*-\nfrom bert4keras.backend import K\nx = '中'".encode("gbk"),
        b"from bert4keras.backend import K\ny = 1\r\nif y:\n\tz = 2\r\n",
    ],
    ids=["bom and crlf", "gbk without newline", "mixed newlines"],
)
def test_write_keeps_encoding_newlines_and_bom(capsys, tmp_path, content):
    path = tmp_path / "a.py"
    path.write_bytes(content)
    run(capsys, "--write", path)
    assert path.read_bytes() == content.replace(b"bert4keras", b"bert4keras3")


def test_write_keeps_permissions_and_links(capsys, tmp_path, script):
    script.chmod(0o751)
    link = tmp_path / "link.py"
    link.symlink_to(script)
    run(capsys, "--write", link)
    assert link.is_symlink() and stat.S_IMODE(script.stat().st_mode) == 0o751
    assert "bert4keras3" in script.read_text()


def test_write_that_fails_leaves_the_old_file_alone(monkeypatch, tmp_path, script):
    def fails(*arguments):
        raise OSError("disk full")

    before = script.read_text()
    monkeypatch.setattr(command.os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        command.main(["--write", str(script)])
    assert script.read_text() == before and os.listdir(tmp_path) == ["train.py"]


def test_lines_after_write_are_those_of_the_new_file(capsys, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "from tensorflow import keras, nn\nimport keras.backend as K\nK.gradients(a, b)\nm.save_weights('a.w')\n"
    )
    status, _, err = run(capsys, "--write", path)
    new = path.read_text().splitlines()
    places = {line.split(": ")[1]: int(line.split(":")[1]) for line in err.splitlines()}
    assert status == 1
    assert new[places["gradients"] - 1] == "K.gradients(a, b)"
    assert new[places["note"] - 1] == "m.save_weights('a.w.weights.h5')"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"x = 1\nprint 'hello'\n", ":2: expected Python 3"),
        (b"def f(:\n    pass\n", ":1: expected Python 3"),
        (b"x = 1\nx = '\xff'\n", ":2: expected UTF-8"),
        (b"# coding: no-such\n", "no-such"),
        (b"import bert4keras\n\x0cx = 1\n", "form feeds"),
        (None, "No such file"),
    ],
    ids=["python 2", "syntax", "not utf-8", "unknown encoding", "form feed", "missing"],
)
def test_unreadable_file_is_named_and_nothing_is_written(capsys, tmp_path, script, content, words):
    bad = tmp_path / "bad.py"
    if content is not None:
        bad.write_bytes(content)
    before = script.read_text()
    status, _, err = run(capsys, "--write", script, bad)
    assert status == 2 and str(bad) in err and words in err
    assert script.read_text() == before


def test_status_is_1_while_something_is_left(capsys, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("from bert4keras3.backend import K\nK.gradients(a, b)\n")
    status, out, err = run(capsys, path)
    assert (status, out) == (1, "") and err.startswith(f"{path}:2: gradients: ")


def test_command_runs_without_keras_and_says_what_to_install(tmp_path, script):
    (tmp_path / "without").mkdir()
    for name in ("keras", "tensorflow", "libcst"):
        (tmp_path / "without" / (name + ".py")).write_text("raise ImportError('not here')")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path / "without"), str(ROOT)]))
    result = subprocess.run(
        [sys.executable, "-m", "bert4keras3.migrate", str(script)], env=environment, stderr=subprocess.PIPE
    )
    assert result.returncode == 2 and b"pip install 'bert4keras3[migrate]'" in result.stderr
    assert b"Traceback" not in result.stderr


# The scripts that are published with bert4keras

LEFT = {
    "basic_extract_features": "-renamed_file",
    "task_iflytek_adversarial_training": "-renamed_file gradients train_function",
    "task_iflytek_bert_of_theseus": "",  # names of its files come as arguments
    "task_iflytek_gradient_penalty": "-renamed_file gradients",
    "task_iflytek_multigpu": "-renamed_file distribute",
    "task_relation_extraction": "-output_at -renamed_file",
    "task_sentiment_integrated_gradients": "-gradients",
    "task_sentiment_virtual_adversarial_training": "-renamed_file gradients train_function",
    "task_seq2seq_autotitle_multigpu": "-renamed_file distribute",
}


def published(*arguments):
    command = ["git", "--git-dir", str(MIRROR), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")


@pytest.fixture(scope="module")
def published_scripts():
    if not MIRROR.is_dir():
        pytest.skip(f"no git directory of bert4keras at {MIRROR}: set BERT4KERAS_MIRROR")
    listed = published("ls-tree", "--name-only", "HEAD:examples").split()
    names = [name[:-3] for name in listed if name.endswith(".py")]
    assert len(names) == 32
    return {name: migrate_source(published("show", f"HEAD:examples/{name}.py"), name) for name in names}


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_published_scripts_compile_and_a_second_run_changes_nothing(published_scripts):
    for name, (new, _) in published_scripts.items():
        compile(new, name, "exec")
        assert "bert4keras3" in new and migrate_source(new, name)[0] == new, name


def test_published_scripts_leave_what_the_table_says(published_scripts):
    for name, (_, findings) in published_scripts.items():
        expected = LEFT.get(name, "" if name.startswith("basic_") else "-renamed_file")
        assert " ".join(sorted({"-" * one.is_note + one.kind for one in findings})) == expected, name
