#!/usr/bin/env python
"""The published example scripts of bert4keras, run with only the import renamed.

    nox -s published-jax                 with BERT4KERAS_MIRROR=a git directory of bojone/bert4keras
    python run.py --mirror GITDIR --lib bert4keras|bert4keras3 [--only NAME ...] [--jobs N] [--pairing NAME]

In the reference environment (TensorFlow 1.15, keras 2.3.1), to make the goldens afresh:

    python run.py --mirror GITDIR --make-goldens
    python run.py --mirror GITDIR --lib bert4keras --save-expected

Each script is read from the mirror at run time into a fresh temporary folder; its code is never kept here. The script's
import of bert4keras is renamed, its absolute paths point at tiny synthetic files, and the sizes in EXAMPLES are made
smaller. The script then runs under the Python that runs this file, with the same environment variables. PYTHONPATH
gains a folder of stand-ins for modules of third parties that are not installed (tqdm, jieba, rouge, cv2, ...).

A run is ok if it exits with 0, reports a finite loss if it trains, and prints and writes what EXAMPLES says.
Exit status: 0 if nothing failed; with --pairing, 0 if exactly the known failures failed.
"""

import argparse
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))

# ----------------------------------------------------------------------------------------------------
# What each example needs.
#   kit       the model files (a folder of the goldens) to put where *_path of the example points
#   data      the DATA makers to call
#   rewrites  (regex, replacement) applied in order; each must match at least once.
#             {root} stands for the temporary folder that replaces PREFIX
#   tail      lines added at the end, to call what the example defines and leaves to the reader
#   prelude   examples run before it in the same folder
#   prints    regexes that must be found in stdout
#   same      what of stdout must equal that of the reference (expected.json of the goldens): its decimal
#             numbers within 1e-3, or its last line
#   writes    files (prefix of the name) that must exist afterwards
#   tf_only   reason why it makes sense only where TensorFlow is the engine
#   internals the private parts of Keras 2.3.1 it uses (--skip-internals skips it)
#   gradients the symbolic K.gradients it needs, so a graph (--skip-gradients skips it)
# ----------------------------------------------------------------------------------------------------
PREFIX = "/" + "root" + "/"  # where the published examples look for everything
ROOT = ("'" + PREFIX, "'{root}/")
SAVES = ["best_model.weights"]


def const(name, old, new):
    """A module-level `name = old` becomes `name = new`."""
    return (r"^%s = %s$" % (name, re.escape(str(old))), "%s = %s" % (name, new))


def constc(name, old, new):
    """The same, where a comment follows."""
    return (r"^%s = %s(?=\s*#)" % (name, re.escape(str(old))), "%s = %s" % (name, new))


def arg(name, old, new):
    """A keyword argument `name=old` becomes `name=new`."""
    return (r"\b%s=%s\b" % (name, re.escape(str(old))), "%s=%s" % (name, new))


IFLYTEK = [const("num_classes", 119, 4), const("maxlen", 128, 24), const("batch_size", 32, 4)]
STEPS = [const("steps_per_epoch", 1000, 2), const("epochs", 10000, 1)]

CALL_SERVED = r"""
    import json as _json, sys as _sys
    from urllib.parse import quote as _quote
    _query = 'text=%s&n=4&k=2' % _quote(u'苹果多少钱一斤')
    _parts = []
    if hasattr(web, 'app'):
        import asyncio as _asyncio

        async def _receive():
            return {'type': 'http.request', 'body': b'', 'more_body': False}

        async def _send(message):
            _parts.append(message.get('body', b''))

        _asyncio.get_event_loop().run_until_complete(web.app({
            'type': 'http', 'http_version': '1.1', 'method': 'GET', 'scheme': 'http', 'path': '/gen_synonyms',
            'raw_path': b'/gen_synonyms', 'root_path': '', 'query_string': _query.encode('ascii'), 'headers': [],
            'client': ('127.0.0.1', 1), 'server': ('127.0.0.1', 80)}, _receive, _send))
    else:
        import io as _io, bottle as _bottle
        _parts += _bottle.default_app()({
            'REQUEST_METHOD': 'GET', 'SCRIPT_NAME': '', 'PATH_INFO': '/gen_synonyms', 'QUERY_STRING': _query,
            'CONTENT_LENGTH': '0', 'SERVER_NAME': 'localhost', 'SERVER_PORT': '80', 'SERVER_PROTOCOL': 'HTTP/1.1',
            'wsgi.version': (1, 0), 'wsgi.url_scheme': 'http', 'wsgi.input': _io.BytesIO(),
            'wsgi.errors': _sys.stderr, 'wsgi.multithread': False, 'wsgi.multiprocess': False, 'wsgi.run_once': True,
        }, lambda *a, **k: None)
    _reply = _json.loads(b''.join(_parts).decode('utf-8'))
    assert _reply['code'] == 0 and len(_reply['data']) <= 2, _reply
    print('served %d' % len(_reply['data']))
"""

# No download, and only its first blocks: all of MobileNetV2 takes a minute to compile.
CUT_IMAGE_MODEL = """
image_model = MobileNetV2(include_top=False, weights=None, alpha=0.35)
image_model = keras.models.Model(
    image_model.input, keras.layers.GlobalAveragePooling2D()(image_model.get_layer('block_2_add').output))
"""

EXAMPLES = {
    "basic_extract_features": dict(
        kit="bert",
        rewrites=[ROOT],
        prints=[r"predicting", r"reloading"],
        writes=["test.model"],
        same="numbers",
    ),
    "basic_gibbs_sampling_via_mlm": dict(
        kit="bert", rewrites=[ROOT, const("steps", 10000, 20), const("converged_steps", 1000, 5)]
    ),
    "basic_language_model_cpm_lm": dict(kit="gpt2", rewrites=[ROOT, arg("maxlen", 16, 4)]),
    "basic_language_model_gpt2_ml": dict(
        kit="gpt2_ml", rewrites=[ROOT, arg("maxlen", 256, 8), arg("minlen", 128, 4)], prints=["今天天气不错"]
    ),
    "basic_language_model_nezha_gen_gpt": dict(
        kit="bert", rewrites=[ROOT, arg("maxlen", 256, 8), arg("minlen", 128, 4)], prints=["今天天气不错"]
    ),
    "basic_make_uncased_model_cased": dict(
        kit="bert", rewrites=[ROOT], prints=[r"'Welcome', 'to', 'BE', '##I', '##JING'"], same="numbers"
    ),
    "basic_masked_language_model": dict(kit="bert", rewrites=[ROOT], same="last line"),
    "basic_simple_web_serving_simbert": dict(
        kit="bert",
        rewrites=[ROOT, const("maxlen", 32, 12), (r"^    web\.start\(\)$", CALL_SERVED)],
        prints=[r"served \d"],
    ),
    "task_conditional_language_model": dict(
        kit="bert",
        data=["sentiment"],
        writes=SAVES,
        prints=["正面采样", "负面采样"],
        rewrites=[
            ROOT,
            const("maxlen", 128, 16),
            const("batch_size", 32, 4),
            const("epochs", 20, 1),
            arg("steps_per_epoch", "len(train_generator", "(2"),
        ],
    ),
    "task_iflytek_adversarial_training": dict(
        kit="bert",
        data=["iflytek"],
        writes=SAVES,
        prints=[r"val_acc: 0\.25000"],
        rewrites=[ROOT] + IFLYTEK + [arg("epochs", 50, 1)],
        internals="model._make_train_function, train_function, total_loss, _feed_inputs; K.gradients",
    ),
    "task_iflytek_bert_of_theseus": dict(
        kit="bert",
        data=["iflytek"],
        writes=["best_predecessor.weights", "best_theseus.weights", "best_successor.weights"],
        prints=[r"(?s)(val_acc: 0\.25000.*){3}"],
        rewrites=[ROOT]
        + IFLYTEK
        + [arg("num_hidden_layers", 3, 1), arg("epochs", 5, 1), arg("epochs", 10, 1)],
    ),
    "task_iflytek_gradient_penalty": dict(
        kit="bert",
        data=["iflytek"],
        writes=SAVES,
        prints=[r"val_acc: 0\.25000"],
        rewrites=[ROOT] + IFLYTEK + [arg("epochs", 50, 1)],
        gradients="K.gradients inside the loss, IndexedSlices .values",
    ),
    "task_iflytek_multigpu": dict(
        kit="bert",
        data=["iflytek"],
        writes=SAVES,
        prints=[r"val_acc: "],
        rewrites=[ROOT] + IFLYTEK + [arg("epochs", 10, 1)],
        tf_only="tf.distribute and tf.data",
    ),
    "task_image_caption": dict(
        kit="bert",
        data=["coco"],
        writes=SAVES,
        prints=[r"(?s)(predict:.*){2}"],
        rewrites=[ROOT, const("maxlen", 64, 12), const("batch_size", 32, 2), const("img_size", 299, 64)]
        + STEPS
        + [(r"^image_model = MobileNetV2\(include_top=False, pooling='avg'\)$", CUT_IMAGE_MODEL)],
    ),
    "task_language_model": dict(
        kit="bert",
        data=["novels"],
        writes=SAVES,
        prints=["(?s)(结果:.*){3}"],
        rewrites=[ROOT, const("maxlen", 256, 32), const("batch_size", 16, 4)]
        + STEPS
        + [(r"\bmaxlen=maxlen\b", "maxlen=4")],
    ),
    "task_language_model_chinese_chess": dict(
        kit="bert",
        data=["chess"],
        writes=SAVES,
        rewrites=[ROOT, const("maxlen", 512, 128), const("batch_size", 16, 4)] + STEPS,
    ),
    "task_question_answer_generation_by_seq2seq": dict(
        kit="bert",
        data=["qa"],
        writes=SAVES + ["qa.csv"],
        rewrites=[
            ROOT,
            const("max_p_len", 128, 32),
            const("max_q_len", 64, 8),
            const("max_a_len", 16, 8),
            const("batch_size", 32, 4),
            const("epochs", 100, 1),
            arg("steps_per_epoch", 1000, 2),
        ],
        tail="predict_to_file(valid_data[:2], 'qa.csv')",
    ),
    "task_reading_comprehension_by_mlm": dict(
        kit="bert",
        data=["qa"],
        writes=SAVES + ["predicted.txt"],
        rewrites=[
            ROOT,
            const("max_p_len", 256, 32),
            const("max_q_len", 64, 16),
            const("max_a_len", 32, 4),
            const("batch_size", 32, 8),
            const("epochs", 10, 1),
        ],
        tail="predict_to_file(valid_data[:2], 'predicted.txt')",
    ),
    "task_reading_comprehension_by_seq2seq": dict(
        kit="bert",
        data=["qa"],
        writes=SAVES + ["predicted.txt"],
        rewrites=[
            ROOT,
            const("max_p_len", 256, 32),
            const("max_q_len", 64, 16),
            const("max_a_len", 32, 4),
            const("batch_size", 32, 8),
            const("epochs", 8, 1),
        ],
        tail="predict_to_file(valid_data[:2], 'predicted.txt', topk=2)",
    ),
    "task_relation_extraction": dict(
        kit="bert",
        data=["spo"],
        writes=SAVES + ["dev_pred.json"],
        prints=[r"best f1: \d"],
        rewrites=[
            ROOT,
            const("maxlen", 128, 24),
            const("batch_size", 64, 4),
            arg("epochs", 20, 1),
            (r" > 0\.[56]\)", " > 0)"),
        ],
    ),
    "task_relation_extraction_gplinker": dict(
        kit="bert",
        data=["spo"],
        writes=SAVES + ["dev_pred.json"],
        prints=[r"best f1: \d"],
        rewrites=[
            ROOT,
            const("maxlen", 128, 24),
            const("batch_size", 64, 4),
            arg("epochs", 20, 1),
            (r"\bhead_size=64\b", "head_size=8"),
        ],
    ),
    "task_sentence_similarity_lcqmc": dict(
        kit="bert",
        data=["lcqmc"],
        writes=SAVES,
        prints=[r"final test acc: \d"],
        rewrites=[ROOT, const("maxlen", 128, 32), const("batch_size", 64, 4), arg("epochs", 20, 1)],
    ),
    "task_sentiment_albert": dict(
        kit="albert",
        data=["sentiment"],
        writes=SAVES,
        prints=[r"final test acc: \d"],
        rewrites=[ROOT, const("maxlen", 128, 32), const("batch_size", 32, 8), arg("epochs", 10, 1)],
    ),
    "task_sentiment_integrated_gradients": dict(
        prelude=["task_sentiment_albert"],
        rewrites=[const("n", 20, 3)],
        prints=[r"(?s)(\[\('.*?\)\].*){2}"],
        gradients="K.gradients inside Layer.call; predict() on nested python lists",
    ),
    "task_sentiment_virtual_adversarial_training": dict(
        kit="bert",
        data=["sentiment"],
        writes=SAVES,
        prints=[r"best_val_acc: \d"],
        rewrites=[
            ROOT,
            const("maxlen", 128, 24),
            const("batch_size", 32, 4),
            constc("train_frac", 0.01, 0.5),
            arg("steps_per_epoch", 30, 2),
            arg("epochs", 100, 1),
        ],
        internals="model._make_train_function, train_function, total_loss, _feed_inputs; K.gradients",
    ),
    "task_seq2seq_ape210k_math_word_problem": dict(
        kit="bert",
        data=["ape"],
        writes=SAVES,
        prints=[r"valid_data: \{.*'best_acc'"],
        rewrites=[
            ROOT,
            const("maxlen", 192, 48),
            const("batch_size", 32, 4),
            const("epochs", 100, 1),
            arg("maxlen", 64, 6),
        ],
    ),
    "task_seq2seq_autotitle": dict(
        kit="bert",
        data=["thuc"],
        writes=SAVES,
        prints=["(?s)(生成标题:.*){2}"],
        rewrites=[ROOT, const("maxlen", 256, 48), const("batch_size", 16, 4), arg("maxlen", 32, 6)] + STEPS,
    ),
    "task_seq2seq_autotitle_csl": dict(
        kit="bert",
        data=["csl"],
        prints=[r"valid_data: \{.*'best_bleu'"],
        rewrites=[
            ROOT,
            const("maxlen", 256, 48),
            const("batch_size", 16, 4),
            const("epochs", 20, 1),
            arg("maxlen", 32, 6),
        ],
    ),
    "task_seq2seq_autotitle_csl_mt5": dict(
        kit="mt5",
        data=["csl"],
        prints=[r"valid_data: \{.*'best_bleu'"],
        rewrites=[
            ROOT,
            const("max_c_len", 256, 32),
            const("max_t_len", 32, 6),
            const("batch_size", 16, 4),
            const("epochs", 40, 1),
        ],
    ),
    "task_seq2seq_autotitle_multigpu": dict(
        kit="bert",
        data=["thuc"],
        writes=SAVES,
        prints=["(?s)(生成标题:.*){2}"],
        rewrites=[ROOT, const("maxlen", 256, 48), const("batch_size", 64, 4), arg("maxlen", 32, 6)] + STEPS,
        tf_only="tf.distribute and tf.data",
    ),
    "task_sequence_labeling_cws_crf": dict(
        kit="bert",
        data=["cws"],
        writes=SAVES,
        prints=[r"best acc: \d"],
        rewrites=[
            ROOT,
            const("maxlen", 256, 32),
            const("epochs", 10, 1),
            const("batch_size", 32, 4),
            const("bert_layers", 12, 2),
        ],
    ),
    "task_sequence_labeling_ner_crf": dict(
        kit="bert",
        data=["ner"],
        writes=SAVES,
        prints=[r"test:  f1: \d"],
        rewrites=[
            ROOT,
            const("maxlen", 256, 32),
            const("epochs", 10, 1),
            const("batch_size", 32, 4),
            const("bert_layers", 12, 2),
        ],
    ),
}

SKIP = {}  # name -> reason, for what cannot run anywhere

# ----------------------------------------------------------------------------------------------------
# Stand-ins for third-party modules that are not installed (never for keras, numpy, tensorflow, ...).
# ----------------------------------------------------------------------------------------------------
STUBS = {
    "tqdm": {
        "tqdm.py": """
class tqdm(object):
    def __init__(self, iterable=None, **kwargs):
        self.iterable = iterable
    def __iter__(self):
        return iter(self.iterable)
    def update(self, n=1):
        pass
    def set_description(self, text=None):
        pass
    def close(self):
        pass
"""
    },
    "jieba": {
        "jieba.py": """
def initialize():
    pass
def cut(text, cut_all=False):
    for i in range(0, len(text), 2):
        yield text[i:i + 2]
"""
    },
    "rouge": {
        "rouge.py": """
class Rouge(object):
    def get_scores(self, hyps, refs):
        a, b = set(hyps.split()), set(refs.split())
        if not a or not b:
            raise ValueError('Hypothesis is empty.')
        s = {'f': 2.0 * len(a & b) / (len(a) + len(b)), 'p': 0.0, 'r': 0.0}
        return [{'rouge-1': s, 'rouge-2': s, 'rouge-l': s}]
"""
    },
    "nltk": {
        "nltk/__init__.py": "",
        "nltk/translate/__init__.py": "",
        "nltk/translate/bleu_score.py": """
class SmoothingFunction(object):
    def method1(self, *args, **kwargs):
        return None
def sentence_bleu(references, hypothesis, smoothing_function=None):
    a, b = set(references[0]), set(hypothesis)
    return 0.01 + float(len(a & b)) / max(len(b), 1)
""",
    },
    "sympy": {"sympy.py": "from fractions import Fraction as Integer\n"},
    "pandas": {"pandas.py": 'def read_csv(*args, **kwargs):\n    raise NotImplementedError("stand-in")\n'},
    "cchess": {
        "cchess.py": """
FULL_INIT_FEN = 'rnbakabnr/9/1c5c1/p1p1p1p1p/9/9/P1P1P1P1P/1C5C1/9/RNBAKABNR w - - 0 1'
class Move(object):
    pass
class ChessBoard(object):
    pass
"""
    },
    "cv2": {
        "cv2.py": """
import numpy as np
BORDER_CONSTANT = 0
def imread(name):
    with open(name, 'rb') as f:
        magic, size, _, data = f.read().split(b'\\n', 3)
    w, h = map(int, size.split())
    return np.frombuffer(data, 'uint8').reshape((h, w, 3))[..., ::-1].copy()
def resize(img, size):
    w, h = size
    i = np.arange(h) * img.shape[0] // h
    j = np.arange(w) * img.shape[1] // w
    return img[i][:, j]
def copyMakeBorder(img, top, bottom, left, right, borderType, value):
    out = np.empty((img.shape[0] + top + bottom, img.shape[1] + left + right, 3), img.dtype)
    out[:] = value
    out[top:top + img.shape[0], left:left + img.shape[1]] = img
    return out
"""
    },
    "bottle": {
        "bottle.py": """
from urllib.parse import parse_qs
class FormsDict(dict):
    def getunicode(self, key, default=None):
        return self.get(key, default)
class Request(object):
    GET = query = POST = forms = params = FormsDict()
request = Request()
class Bottle(object):
    def __init__(self):
        self.routes = {}
    def route(self, path, method='GET', **kwargs):
        def decorator(func):
            self.routes[path] = func
            return func
        return decorator
    def __call__(self, environ, start_response):
        q = FormsDict((k, v[0]) for k, v in parse_qs(environ['QUERY_STRING']).items())
        request.GET = request.query = request.params = q
        body = self.routes[environ['PATH_INFO']]()
        return [body if isinstance(body, bytes) else body.encode('utf-8')]
app = Bottle()
route = app.route
def default_app():
    return app
"""
    },
}

# ----------------------------------------------------------------------------------------------------
# Tiny data in the formats that the examples read.
# ----------------------------------------------------------------------------------------------------
TEXTS = [
    "北京是中国的首都，也是一座历史悠久的城市。",
    "科学技术是第一生产力，教育是立国之本。",
    "今天天气不错，我们一起去公园散步吧。",
    "这家酒店的服务很好，房间也很干净。",
    "小明的爸爸在上海工作，妈妈在家里照顾他。",
    "这本书的内容很有意思，值得一看。",
    "手机的屏幕很大，电池也很耐用，性价比高。",
    "学生们在教室里认真地听老师讲课。",
]


def put(path, text, encoding="utf-8"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding=encoding, newline="\n") as f:
        f.write(text)


def put_lines(path, rows):
    put(path, "".join(json.dumps(r) + "\n" for r in rows))


def data_iflytek(env):
    # Every valid text comes once with each label, so that the accuracy is 1/4 whatever is predicted.
    d = env.root("CLUE-master", "baselines", "CLUEdataset", "iflytek")

    def row(i, j):
        return {"id": i, "sentence": TEXTS[i] * 2, "label": str(j), "label_des": "x"}

    put_lines(os.path.join(d, "train.json"), [row(i, i % 4) for i in range(8)])
    put_lines(os.path.join(d, "dev.json"), [row(i, j) for i in range(2) for j in range(4)])


def unzip_head(env, name, n):
    z = zipfile.ZipFile(io.BytesIO(env.show("examples/datasets/%s.zip" % name)))
    for part in ["train", "valid", "test"]:
        member = "%s/%s.%s.data" % (name, name, part)
        lines = z.read(member).decode("utf-8").splitlines()[:n]
        put(env.run("datasets", name, "%s.%s.data" % (name, part)), "\n".join(lines) + "\n")


def data_sentiment(env):
    unzip_head(env, "sentiment", 16)


def data_lcqmc(env):
    unzip_head(env, "lcqmc", 10)


def data_qa(env):
    def row(i):
        t, other = TEXTS[i % 8], TEXTS[(i + 1) % 8]
        return {
            "id": "Q%d" % i,
            "question": "第%d个问题是什么？" % i,
            "passages": [{"passage": t + other, "answer": t[:2]}, {"passage": other, "answer": ""}],
        }

    put(env.root("qa_datasets", "WebQA.json"), "%s" % json.dumps([row(i) for i in range(8)]))
    put(env.root("qa_datasets", "SogouQA.json"), "%s" % json.dumps([row(i) for i in range(8, 20)]))


def data_spo(env):
    triples = [
        ("北京", "城市", "中国"),
        ("小明", "父亲", "大明"),
        ("三国", "作者", "罗贯中"),
        ("小红", "国籍", "中国"),
    ]
    rows = [
        {"text": "%s的%s是%s。" % t, "spo_list": [{"subject": t[0], "predicate": t[1], "object": t[2]}]}
        for t in triples
    ]
    put_lines(env.root("kg", "datasets", "train_data.json"), rows * 2)
    put_lines(env.root("kg", "datasets", "dev_data.json"), rows[:3])
    put_lines(env.root("kg", "datasets", "all_50_schemas"), [{"predicate": t[1]} for t in triples])


def data_novels(env):
    put(env.root("金庸", "书", "1.txt"), "  ".join(TEXTS * 3), encoding="gbk")


def data_chess(env):
    put_lines(
        env.root("qipu.json"),
        [
            {"fen": "", "items": {"棋局结果": str(i % 3)}, "iccs": "h2e2h9g7h0g2g6g5b0c2b9c7"}
            for i in range(8)
        ],
    )


def data_coco(env):
    for part, ids in [("train", range(4)), ("val", range(4, 6))]:
        put(
            env.root("caption", "coco", "annotations", "captions_%s2014.json" % part),
            "%s"
            % json.dumps(
                {
                    "images": [
                        {"id": i, "file_name": "%d.jpg" % i, "coco_url": "http://localhost/%d" % i}
                        for i in ids
                    ],
                    "annotations": [
                        {"image_id": i, "caption": "a train is sitting on the tracks"} for i in ids
                    ],
                }
            ),
        )
        for i in ids:
            w, h = [(40, 30), (30, 40)][i % 2]
            d = env.root("caption", "coco", "%s2014" % part)
            os.makedirs(d, exist_ok=True)
            with open(os.path.join(d, "%d.jpg" % i), "wb") as f:  # a PPM: cv2 goes by the content
                f.write(("P6\n%d %d\n255\n" % (w, h)).encode())
                f.write(bytes(bytearray((x * 7 + i * 31) % 256 for x in range(w * h * 3))))


def data_ape(env):
    rows = [
        {
            "original_text": "小明有%d个苹果，又买了%d个，一共有多少个？" % (i + 1, i + 2),
            "equation": "x=(%d+%d)*1" % (i + 1, i + 2),
            "ans": str(2 * i + 3),
        }
        for i in range(8)
    ]
    rows.append(
        {
            "original_text": "一条路长120米，修了2(1/2)天，修了全长的50%。",
            "equation": "x=120*50%",
            "ans": "60",
        }
    )
    for part, n in [("train", 9), ("valid", 3), ("test", 3)]:
        put_lines(env.root("ape210k", "%s.ape.json" % part), rows[-n:])


def data_thuc(env):
    for i, t in enumerate(TEXTS):
        put(env.root("thuctc", "THUCNews", "财经", "%d.txt" % i), "%s\n%s\n%s" % (t[:8], t, TEXTS[i - 1]))


def data_csl(env):
    for part, n in [("train", 8), ("val", 3), ("test", 3)]:
        put(env.root("csl", "%s.tsv" % part), "".join("%s\t%s\n" % (t[:8], t * 2) for t in TEXTS[:n]))


def data_cws(env):
    put(
        env.root("icwb2-data", "training", "pku_training.utf8"),
        "".join("  ".join([t[:1], t[1:3], t[3:6], t[6:10]]) + "\n" for t in TEXTS * 2),
    )


def data_ner(env):
    block = "".join(
        "%s %s\n" % p
        for p in [
            ("小", "B-PER"),
            ("明", "I-PER"),
            ("在", "O"),
            ("北", "B-LOC"),
            ("京", "I-LOC"),
            ("工", "O"),
            ("作", "O"),
        ]
    )
    for part, n in [("train", 8), ("dev", 2), ("test", 2)]:
        put(
            env.root("ner", "china-people-daily-ner-corpus", "example.%s" % part),
            "\n".join([block] * n).rstrip("\n"),
        )


# ----------------------------------------------------------------------------------------------------
# Running
# ----------------------------------------------------------------------------------------------------
def git_show(mirror, path):
    return subprocess.check_output(["git", "--git-dir", mirror, "show", "HEAD:" + path])


class Env:
    """The temporary folder of one example: home/ stands for PREFIX, work/run/ is where it runs."""

    def __init__(self, folder, mirror):
        self.folder, self.mirror = folder, mirror

    def root(self, *parts):
        return os.path.join(self.folder, "home", *parts)

    def run(self, *parts):
        return os.path.join(self.folder, "work", "run", *parts)

    def show(self, path):
        return git_show(self.mirror, path)


class BadRewrite(Exception):
    pass


def rewrite(name, source, lib, root):
    n_total = 0
    rules = [(r"^(\s*(?:from|import)\s+)bert4keras(?=[.\s])", r"\g<1>%s" % lib)] + EXAMPLES[name]["rewrites"]
    for pattern, repl in rules:
        if "\\g<" not in repl:
            repl = repl.replace("{root}", root).replace("\\", "\\\\")
        source, n = re.subn(pattern, repl, source, flags=re.M)
        if not n:
            raise BadRewrite("rewrite %r matches nothing" % pattern)
        n_total += n
    left = [
        line for line in source.splitlines() if "'" + PREFIX in line and not line.lstrip().startswith("#")
    ]
    if left and not root.startswith(PREFIX):
        raise BadRewrite("path left: %s" % left[0].strip())
    return source + "\n" + EXAMPLES[name].get("tail", "") + "\n"


def place_kit(env, source, goldens, kit):
    """Put the files of the kit where the *_path of the (rewritten) example point."""
    src = os.path.join(goldens, kit)
    for key, target in re.findall(r"^(\w+_path) = '(.+)'$", source, flags=re.M):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if key == "checkpoint_path":
            for f in os.listdir(src):
                if f.startswith("model.ckpt."):
                    shutil.copy(os.path.join(src, f), target + f[len("model.ckpt") :])
        else:
            f = {
                "config_path": os.path.join(kit, "config.json"),
                "dict_path": "vocab.txt",
                "spm_path": "sp.model",
                "keep_tokens_path": os.path.join(kit, "keep_tokens.json"),
            }[key]
            shutil.copy(os.path.join(goldens, f), target)


def make_stubs(folder, force):
    made = []
    for name, files in STUBS.items():
        if force or importlib.util.find_spec(name) is None:
            made.append(name)
            for path, text in files.items():
                put(os.path.join(folder, path), "" + text)
    return made


def last_error(err, rc):
    lines = [line.rstrip() for line in err.splitlines()]
    marks = [
        i for i, line in enumerate(lines) if line.lstrip().startswith("Traceback (most recent call last)")
    ]
    if marks:
        tail = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines[marks[-1] + 1 :] if line.strip()]
        for i, line in enumerate(tail):
            if re.match(r"[A-Za-z_][\w.]*(:|$)", line):
                if "Exception encountered when calling" in line or line.endswith(
                    ":"
                ):  # Keras 3 goes on below
                    line = " ".join([line] + tail[i + 1 : i + 2])
                return line[:300]
    lines = [line for line in lines if line.strip()]
    return (lines[-1][:300] if lines else "") + " (exit status %s)" % rc


def execute(script, cwd, environ, timeout):
    """-> (rc or None on timeout, stdout, stderr); ends only the process group that it started."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        p = subprocess.Popen(
            [sys.executable, script],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            rc = p.wait(timeout)
        except BaseException as e:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            if not isinstance(e, subprocess.TimeoutExpired):
                raise
            rc = None
        texts = []
        for f in (out, err):
            f.seek(0)
            texts.append(f.read().decode("utf-8", "replace"))
    return rc, texts[0], texts[1]


def essence(kind, out):
    lines = [line for line in out.splitlines() if line.strip() and "/step" not in line]
    if kind == "numbers":
        return [float(x) for line in lines for x in re.findall(r"-?\d+\.\d*(?:e[-+]?\d+)?", line)]
    return lines[-1].strip()


def differs(kind, got, expected):
    if kind == "numbers":
        if len(got) != len(expected):
            return "%d numbers printed, not %d" % (len(got), len(expected))
        worst = max(abs(a - b) for a, b in zip(got, expected))
        return "numbers off by %.2g" % worst if not worst < 1e-3 else None
    return "printed %r, not %r" % (got, expected) if got != expected else None


def judge(name, out, env, opts):
    spec = EXAMPLES[name]
    bad = re.search(r"\bloss: [-+]?(?:nan|inf)", out)
    if bad:
        return bad.group()
    if name.startswith("task_") and "prelude" not in spec and not re.search(r"\bloss: -?\d", out):
        return "no loss printed"
    for pattern in spec.get("prints", []):
        if not re.search(pattern, out):
            return "nothing printed matches %r" % pattern
    for prefix in spec.get("writes", []):
        if not any(f.startswith(prefix) for f in os.listdir(env.run())):
            return "no file %s written" % prefix
    if spec.get("same"):
        path = os.path.join(opts.goldens, "expected.json")
        expected = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                expected = json.load(f)
        got = essence(spec["same"], out)
        if opts.save_expected:
            expected[name] = got
            put(path, "" + json.dumps(expected, sort_keys=True) + "\n")
        else:
            return differs(spec["same"], got, expected[name])


KINDS = {"internals": "Keras 2.3.1 internals", "gradients": "graph mode"}


def run_one(name, opts):
    spec = EXAMPLES[name]
    reason, needs = SKIP.get(name), spec.get("tf_only", "")
    if spec.get("tf_only"):
        if importlib.util.find_spec("tensorflow") is None:
            reason = "%s: no tensorflow here" % spec["tf_only"]
        elif os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
            reason = "%s: the backend is %s" % (spec["tf_only"], os.environ["KERAS_BACKEND"])
    for kind in ("internals", "gradients"):
        if spec.get(kind):
            needs = "%s: %s" % (KINDS[kind], spec[kind])
            if getattr(opts, "skip_" + kind):
                reason = needs
    if reason:
        return dict(name=name, status="skipped", seconds=0.0, note=reason)
    folder = os.path.realpath(tempfile.mkdtemp(prefix="example-"))
    begin, log = time.time(), ""
    try:
        env = Env(folder, opts.mirror)
        os.makedirs(env.run())
        os.makedirs(env.root())
        chain = spec.get("prelude", []) + [name]
        for each in chain:
            source = rewrite(each, env.show("examples/%s.py" % each).decode("utf-8"), opts.lib, env.root())
            put(env.run(each + ".py"), source)
            for d in EXAMPLES[each].get("data", []):
                globals()["data_" + d](env)
            if EXAMPLES[each].get("kit"):
                place_kit(env, source, opts.goldens, EXAMPLES[each]["kit"])
        environ = dict(os.environ)
        stubs = os.path.join(folder, "stubs")
        os.makedirs(stubs)
        make_stubs(stubs, opts.force_stubs)
        environ["PYTHONPATH"] = os.pathsep.join([stubs] + [p for p in [environ.get("PYTHONPATH")] if p])
        status, note = "ok", ""
        for each in chain:
            left = opts.timeout - (time.time() - begin)
            rc, out, err = execute(each + ".py", env.run(), environ, max(left, 1))
            log += "===== %s rc=%s\n%s\n----- stderr\n%s\n" % (each, rc, out, err)
            if rc is None:
                status, note = "timeout", "after %d s" % opts.timeout
            elif rc:
                status, note = "failed", last_error(err, rc)
            else:
                wrong = judge(each, out, env, opts)
                if wrong:
                    status, note = "failed", wrong
            if status != "ok":
                if each != name:
                    note = "in %s: %s" % (each, note)
                break
    except Exception as e:  # the runner's own trouble: a rewrite that matches nothing, a missing golden
        status, note = "failed", "runner: %s: %s" % (type(e).__name__, e)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if needs:
        note = (note + " " if note else "") + "[needs %s]" % needs
    if opts.logs:
        put(os.path.join(opts.logs, name + ".log"), "" + log.replace(folder, "<folder>"))
    return dict(
        name=name, status=status, seconds=round(time.time() - begin, 1), note=note.replace(folder, "<folder>")
    )


# ----------------------------------------------------------------------------------------------------
# The golden model files, made once in the reference environment
# ----------------------------------------------------------------------------------------------------
def make_goldens(opts):
    import random
    from collections import Counter, OrderedDict

    import numpy as np
    import sentencepiece as spm  # train before tensorflow 1.15 is loaded: the other order crashes

    z = zipfile.ZipFile(io.BytesIO(git_show(opts.mirror, "examples/datasets/sentiment.zip")))
    count = Counter(z.read("sentiment/sentiment.train.data").decode("utf-8"))
    han = [c for c, _ in count.most_common() if "\u4e00" <= c <= "\u9fff"][:480]
    han += sorted(set(c for t in TEXTS for c in t if "\u4e00" <= c <= "\u9fff") - set(han))
    ascii_ = [chr(i) for i in range(33, 127) if not chr(i).isupper()]
    alnum = [c for c in ascii_ if c.isalnum()]
    vocab = ["[PAD]"] + ["[unused%d]" % i for i in range(1, 100)]
    vocab += ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "<S>", "<T>"] + ascii_ + list("，。！？；：、“”（）《》")
    vocab += han + ["##" + c for c in alnum]
    vocab += ["welcome", "to", "be", "##jing", "the", "train", "is", "on", "##ing", "track", "##s"]
    vocab += ["##" + c for c in han[:30]]  # redundant: simplified=True drops these
    vocab = list(OrderedDict.fromkeys(vocab))
    os.makedirs(opts.goldens, exist_ok=True)
    put(os.path.join(opts.goldens, "vocab.txt"), "\n".join(vocab) + "\n")

    rng = random.Random(7)
    os.chdir(opts.goldens)  # the model file keeps the paths it was given
    corpus = "corpus.tmp"
    put(
        os.path.join(opts.goldens, corpus),
        "".join(
            "".join(rng.choice(han[:240]) + rng.choice(["", "", "，"]) for _ in range(20)) + "。\n"
            for _ in range(2000)
        )
        + "\n".join(alnum)
        + "\n",
    )
    prefix = os.path.join(opts.goldens, "sp")
    spm.SentencePieceTrainer.train(
        "--input=%s --model_prefix=%s --vocab_size=320 --model_type=unigram --character_coverage=1.0 "
        "--pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1 --user_defined_symbols=<cls>,\u2582 "
        "--normalization_rule_name=identity --hard_vocab_limit=false --num_threads=1" % (corpus, "sp")
    )
    os.remove(corpus)
    os.remove(prefix + ".vocab")
    sp = spm.SentencePieceProcessor()
    sp.Load(prefix + ".model")
    n_sp = sp.get_piece_size()
    assert sp.id_to_piece(3) == "<cls>"

    import keras.backend as K
    import tensorflow as tf
    from bert4keras.models import build_transformer_model

    base = dict(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_act="gelu",
        max_position_embeddings=512,
        type_vocab_size=2,
        initializer_range=0.1,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    t5 = dict(
        vocab_size=500,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        attention_head_size=8,
        intermediate_size=64,
        hidden_act=["gelu", "linear"],
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        initializer_range=0.1,
    )
    kits = [
        ("bert", base, dict(with_nsp=True, with_mlm=True)),
        ("albert", dict(base, embedding_size=16), dict(model="albert", with_nsp=True, with_mlm=True)),
        ("gpt2", dict(base, vocab_size=n_sp, max_position_embeddings=1024), dict(model="gpt2")),
        ("gpt2_ml", base, dict(model="gpt2_ml")),
        ("mt5", t5, dict(model="mt5.1.1")),
    ]
    for name, config, kwargs in kits:
        d = os.path.join(opts.goldens, name)
        os.makedirs(d, exist_ok=True)
        put(os.path.join(d, "config.json"), "" + json.dumps(config, indent=2, sort_keys=True) + "\n")
        K.clear_session()
        np.random.seed(11)
        tf.set_random_seed(11)
        model = build_transformer_model(os.path.join(d, "config.json"), return_keras_model=False, **kwargs)
        model.model.get_weights()  # makes the session that the next line relies on
        model.save_weights_as_checkpoint(os.path.join(d, "model.ckpt"))
        for f in os.listdir(d):
            if f == "checkpoint" or f.endswith(".meta"):
                os.remove(os.path.join(d, f))
    keep = sorted(np.random.RandomState(5).permutation(np.arange(4, 500))[: n_sp - 4].tolist())
    put(os.path.join(opts.goldens, "mt5", "keep_tokens.json"), "" + json.dumps([0, 1, 2, 3] + keep) + "\n")
    print("vocab %d, pieces %d, kits %s" % (len(vocab), n_sp, " ".join(k[0] for k in kits)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mirror", required=True, help="git directory of bojone/bert4keras")
    parser.add_argument("--lib", default="bert4keras3")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--pairing", help="fail for what known_failures.json does not say of it, and the reverse"
    )
    parser.add_argument("--json", metavar="OUT")
    parser.add_argument("--logs", metavar="DIR", help="keep stdout and stderr of each example")
    parser.add_argument("--goldens", default=os.path.join(HERE, "goldens", "examples"))
    parser.add_argument("--force-stubs", action="store_true", help="stand-ins even for what is installed")
    parser.add_argument("--skip-internals", action="store_true", help="skip what uses Keras 2.3.1 internals")
    parser.add_argument("--skip-gradients", action="store_true", help="skip what uses symbolic K.gradients")
    parser.add_argument("--make-goldens", action="store_true")
    parser.add_argument(
        "--save-expected", action="store_true", help="run the reference and keep what it prints"
    )
    opts = parser.parse_args()
    for key in ("mirror", "goldens", "logs"):
        if getattr(opts, key):
            setattr(opts, key, os.path.abspath(getattr(opts, key)))
    if opts.make_goldens:
        return make_goldens(opts)
    listed = subprocess.check_output(
        ["git", "--git-dir", opts.mirror, "ls-tree", "--name-only", "HEAD", "examples/"]
    )
    names = [os.path.basename(p)[:-3] for p in listed.decode().split("\n") if p.endswith(".py")]
    assert sorted(names) == sorted(EXAMPLES), sorted(set(names) ^ set(EXAMPLES))
    if opts.only:
        only = [os.path.basename(n)[:-3] if n.endswith(".py") else n for n in opts.only]
        assert set(only) <= set(names), sorted(set(only) - set(names))
        names = [n for n in names if n in only]
    if opts.save_expected:
        names = [n for n in names if EXAMPLES[n].get("same")]
    results, lock = [], threading.Lock()

    def step(name):
        r = run_one(name, opts)
        with lock:
            results.append(r)
            line = "%-8s %-45s %6.1fs  %s" % (r["status"], r["name"], r["seconds"], r["note"])
            print(
                line.rstrip()
                .encode(sys.stdout.encoding or "utf-8", "replace")
                .decode(sys.stdout.encoding or "utf-8")
            )
            sys.stdout.flush()

    with ThreadPoolExecutor(opts.jobs) as pool:
        list(pool.map(step, names))
    results.sort(key=lambda r: names.index(r["name"]))
    if opts.json:
        with open(opts.json, "w", encoding="utf-8") as f:
            f.write(
                ""
                + json.dumps(
                    {"lib": opts.lib, "python": sys.version.split()[0], "results": results}, indent=1
                )
            )
    passed = sum(r["status"] == "ok" for r in results)
    skipped = sum(r["status"] == "skipped" for r in results)
    failed = len(results) - passed - skipped
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return differs_from_known(results, opts.pairing) if opts.pairing else 1 if failed else 0


def differs_from_known(results, pairing):
    """1 for a script that fails without a reason in known_failures.json, or works in spite of one, else 0."""
    with open(os.path.join(HERE, "known_failures.json"), encoding="utf-8") as f:
        known = json.load(f)[pairing]
    wrong = 0
    for r in results:
        if r["status"] == "skipped" or (r["status"] != "ok") == (r["name"] in known):
            continue
        wrong = 1
        print(
            "%s: expected %s"
            % (r["name"], "a failure: " + known[r["name"]] if r["name"] in known else "success")
        )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
