"""What does not work where, with the reason and the modern way. tests/library/test_examples.py holds it to be true:
an entry that works is a failure too.
"""

PLACES = ("keras2", "tf_keras", "tensorflow", "jax", "torch")  # the last three with Keras 3

# Modules of this folder that are no examples, or ask for data that is not here.
NOT_RUN = ("__main__", "compatibility", "sentiment", "tiny")

# Example → {place: why it fails there, and what to do}.
NOT_WORKING: dict = {
    "generation_cached": dict.fromkeys(
        ("keras2", "tf_keras"),
        "generation with cached keys and values needs Keras 3: generation_gpt.py works everywhere",
    )
}

# What old scripts write and Keras 3 refuses: (what, code that raises, the modern way).
OLD_WAYS = [
    ("Adam(lr=…)", "keras.optimizers.Adam(lr=1e-3)", "keras.optimizers.Adam(1e-3)"),
    ("optimizer.lr", "keras.optimizers.Adam(1e-3).lr", "optimizer.learning_rate"),
    ("model.fit_generator", "model.fit_generator", "model.fit(generator.forfit(), steps_per_epoch=…)"),
    ("model.predict_generator", "model.predict_generator", "model.predict(generator.fortest(), steps=…)"),
    ("model.add_loss(tensor)", "model.add_loss(model.output)", "a Loss layer: unilm_seq2seq.py"),
    (
        "model.add_metric",
        "model.add_metric(model.output, name='x')",
        "add_metric in a Loss layer: unilm_seq2seq.py",
    ),
    (
        "model.train_function replaced, K.gradients",
        "K.gradients",
        "bert4keras3.gradients: adversarial_training.py, gradient_penalty.py, integrated_gradients.py",
    ),
    ("K.get_session", "K.get_session", "call the model, or K.function"),
    ("K.set_learning_phase", "K.set_learning_phase", "model(inputs, training=True)"),
    (
        "get_output_at of a layer of Keras's own",
        "model.layers[-1].get_output_at(-1)",
        "layer.output, or keep the tensor; layers of bert4keras3 have it",
    ),
    (
        "add_weight by position in keras.layers.Layer",
        "keras.layers.Layer().add_weight('w', (3,))",
        "add_weight(name='w', shape=(3,)), or bert4keras3.backend.Layer",
    ),
    (
        "save_weights('best.weights') of a model made with Keras's own Model",
        "__import__('keras').models.Model(model.input, model.output).save_weights('best.weights')",
        "from bert4keras3.backend import keras, or a name that ends in .weights.h5",
    ),
    (
        "sequences of keras.preprocessing",
        "keras.preprocessing.sequence.TimeseriesGenerator",
        "bert4keras3.snippets.DataGenerator",
    ),
]
