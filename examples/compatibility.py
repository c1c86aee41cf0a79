"""What does not work where, with the reason and the modern way. tests/library/test_examples.py holds it to be true:
an entry that works is a failure too.
"""

PLACES = ("keras2", "tf_keras", "tensorflow", "jax", "torch")  # the last three with Keras 3

# Modules of this folder that are no examples, or ask for data that is not here.
NOT_RUN = ("__main__", "compatibility", "sentiment", "tiny")

# Example → {place: why it fails there, and what to do}.
NOT_WORKING: dict = {
    "distributed_dataset": {
        "keras2": "tf.distribute takes models of tf.keras only: set TF_KERAS=1",
        "jax": "needs TensorFlow: to_dataset is tf.data. On JAX: data_parallel",
        "torch": "needs TensorFlow: to_dataset is tf.data. On PyTorch: DistributedDataParallel, a process a device",
    },
    "weight_decay": dict.fromkeys(
        ("keras2", "tf_keras"),
        "bert4keras3.optimizers is for Keras 3: take keras.optimizers.Adam, or bert4keras.optimizers",
    ),
    "generation_cached": dict.fromkeys(
        ("keras2", "tf_keras"),
        "generation with cached keys and values needs Keras 3: generation_gpt.py works everywhere",
    ),
}

# Each script that is published with bert4keras → the example here that is written in its ways.
PUBLISHED = {
    "basic_extract_features": "feature_extraction",
    "basic_gibbs_sampling_via_mlm": "gibbs_sampling",
    "basic_language_model_cpm_lm": "generation_gpt",
    "basic_language_model_gpt2_ml": "generation_gpt",
    "basic_language_model_nezha_gen_gpt": "generation_gpt",
    "basic_make_uncased_model_cased": "cased_vocabulary",
    "basic_masked_language_model": "masked_language_model",
    "basic_simple_web_serving_simbert": "web_serving",
    "task_conditional_language_model": "conditional_text",
    "task_iflytek_adversarial_training": "adversarial_training",
    "task_iflytek_bert_of_theseus": "theseus",
    "task_iflytek_gradient_penalty": "gradient_penalty",
    "task_iflytek_multigpu": "distributed_dataset",
    "task_image_caption": "image_caption",
    "task_language_model": "language_model",
    "task_language_model_chinese_chess": "board_game",
    "task_question_answer_generation_by_seq2seq": "generation_unilm",
    "task_reading_comprehension_by_mlm": "reading_comprehension",
    "task_reading_comprehension_by_seq2seq": "unilm_seq2seq",
    "task_relation_extraction": "relation_extraction",
    "task_relation_extraction_gplinker": "relation_pointers",
    "task_sentence_similarity_lcqmc": "sentence_similarity",
    "task_sentiment_albert": "classification",
    "task_sentiment_integrated_gradients": "integrated_gradients",
    "task_sentiment_virtual_adversarial_training": "virtual_adversarial_training",
    "task_seq2seq_ape210k_math_word_problem": "unilm_seq2seq",
    "task_seq2seq_autotitle": "unilm_seq2seq",
    "task_seq2seq_autotitle_csl": "unilm_seq2seq",
    "task_seq2seq_autotitle_csl_mt5": "t5_seq2seq",
    "task_seq2seq_autotitle_multigpu": "distributed_dataset",
    "task_sequence_labeling_cws_crf": "crf_tagging",
    "task_sequence_labeling_ner_crf": "crf_tagging",
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
        "layer.output, or keep the tensor; the layers of bert4keras3, Add among them, have it",
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
