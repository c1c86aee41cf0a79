"""Several processes on JAX: keras.distribution joins them into one program, and `fit` stays as it is.

python -m bert4keras3.launch --processes 2 processes_jax.py
"""

import os

import jax
import keras

if "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
    keras.distribution.initialize()
# before the model; the batches are split already
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
index, count = jax.process_index(), jax.process_count()

from processes_task import RATE, make_batches, make_model, options, report  # noqa: E402

from bert4keras3.processes import Backup  # noqa: E402


class Report(keras.callbacks.Callback):
    """The loss of each batch: Keras's own is the mean of the epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if index == 0:
            report(backup.step, logs["loss"])
        self.model.reset_metrics()


train, model = make_batches(index, count), make_model()
model.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
backup = Backup(options.backup, model, every=options.every, process=index)
step, steps = backup.restore(), len(train)
while step < options.epochs * steps:
    left = steps - step % steps  # in this epoch
    model.fit(
        train.forfit(initial_step=step),
        steps_per_epoch=left,
        initial_epoch=step // steps,
        epochs=step // steps + 1,
        callbacks=[backup, Report()],
        verbose=0,
    )
    step += left
