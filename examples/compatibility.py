"""What does not work where, with the reason and the modern way. tests/library/test_examples.py holds it to be true:
an entry that works is a failure too.
"""

PLACES = ("keras2", "tf_keras", "tensorflow", "jax", "torch")  # the last three with Keras 3

# Modules of this folder that are no examples, or ask for data that is not here.
NOT_RUN = ("__main__", "compatibility", "processes_ray", "processes_task", "sentiment", "tiny")

# Example → {place: why it fails there, and what to do}.
NOT_WORKING: dict = {
    "distributed_dataset": {
        "keras2": "tf.distribute takes models of tf.keras only: set TF_KERAS=1",
        "jax": "needs TensorFlow: to_dataset is tf.data. On JAX: data_parallel",
        "torch": "needs TensorFlow: to_dataset is tf.data. On PyTorch: DistributedDataParallel, a process a device",
    },
    "processes_jax": {
        **dict.fromkeys(("keras2", "tf_keras"), "needs Keras 3 on JAX"),
        "tensorflow": "needs Keras 3 on JAX: processes_tensorflow.py",
        "torch": "needs Keras 3 on JAX: processes_torch.py",
    },
    "processes_tensorflow": {
        **dict.fromkeys(("keras2", "tf_keras"), "needs Keras 3, for Backup"),
        "jax": "needs Keras 3 on TensorFlow: processes_jax.py",
        "torch": "needs Keras 3 on TensorFlow: processes_torch.py",
    },
    "processes_torch": {
        **dict.fromkeys(("keras2", "tf_keras"), "needs Keras 3 on PyTorch"),
        "jax": "needs Keras 3 on PyTorch: processes_jax.py",
        "tensorflow": "needs Keras 3 on PyTorch: processes_tensorflow.py",
    },
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
