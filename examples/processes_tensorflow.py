"""Several processes on TensorFlow: MultiWorkerMirroredStrategy, with a loop of its own.

Keras 3 trains its models under this strategy, but its `fit` does not: it reduces each loss over an axis that a number
lacks. `strategy.run(model.train_step)` is the step of `fit`.

    python -m bert4keras3.launch --processes 2 processes_tensorflow.py
"""

import itertools

import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before anything else; it reads TF_CONFIG
index = strategy.cluster_resolver.task_id or 0
count = strategy.num_replicas_in_sync

from processes_task import RATE, make_batches, make_model, options, report  # noqa: E402

from bert4keras3.backend import keras  # noqa: E402
from bert4keras3.processes import Backup  # noqa: E402

train = make_batches(index, count)
with strategy.scope():
    model = make_model()
    model.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
    backup = Backup(options.backup, model, every=options.every, process=index)
    step = backup.restore()


@tf.function
def train_step(inputs, labels):
    logs = strategy.run(model.train_step, args=((inputs, labels),))
    return strategy.reduce("MEAN", logs["loss"], axis=None)


for inputs, labels in itertools.islice(train.forfit(initial_step=step), options.epochs * len(train) - step):
    model.reset_metrics()
    loss = train_step(tuple(map(tf.constant, inputs)), tf.constant(labels))
    backup.after_step()
    if index == 0:
        report(backup.step, float(loss))
