"""Names in scripts for bert4keras and their replacements on Keras 3, as data; imports the standard library only.

Names are canonical: `keras` is keras, tf.keras or bert4keras.backend.keras, and `keras.backend` is any `K`.
"""

from __future__ import annotations

from typing import NamedTuple

# Private or old module → the public module, which both keras 2.3.1 and Keras 3 have.
MODULES: dict[str, str] = {
    "keras." + old: "keras." + new
    for new, modules in {
        "callbacks": "callbacks.callbacks",
        "layers": "layers.advanced_activations layers.convolutional layers.convolutional_recurrent layers.core "
        "layers.embeddings layers.merge layers.noise layers.normalization layers.pooling layers.recurrent "
        "layers.wrappers",
        "losses": "objectives",
        "optimizers": "optimizers.optimizer_v2",
        "utils": "utils.data_utils utils.generic_utils utils.io_utils utils.layer_utils utils.multi_gpu_utils "
        "utils.np_utils utils.training_utils utils.vis_utils",
    }.items()
    for old in modules.split()
}

# Public modules of the names in keras.engine and its modules.
ENGINE: dict[str, str] = {
    "Input": "keras.layers",
    "InputLayer": "keras.layers",
    "InputSpec": "keras.layers",
    "Layer": "keras.layers",
    "Model": "keras.models",
    "Sequential": "keras.models",
    "get_source_inputs": "keras.utils",
}

# Old name → the name that both keras 2.3.1 and Keras 3 have.
NAMES: dict[str, str] = {
    f"keras.{module}.{old}": f"keras.{module}.{new}"
    for module, renamed in {
        "constraints": {"maxnorm": "max_norm", "nonneg": "non_neg", "unitnorm": "unit_norm"},
        "initializers": {
            "normal": "RandomNormal",
            "one": "Ones",
            "uniform": "RandomUniform",
            "zero": "Zeros",
        },
        "layers": {"Deconvolution2D": "Conv2DTranspose", "Deconvolution3D": "Conv3DTranspose"},
        "optimizers": {
            name.lower(): name
            for name in ("Adadelta", "Adagrad", "Adam", "Adamax", "Nadam", "RMSprop", "SGD")
        },
    }.items()
    for old, new in renamed.items()
}
NAMES.update({"keras.models." + name: "keras.layers." + name for name in ("Input", "InputLayer")})
for _module in ("keras.losses.", "keras.metrics."):
    for _short, _name in (
        ("mae", "mean_absolute_error"),
        ("mape", "mean_absolute_percentage_error"),
        ("mse", "mean_squared_error"),
        ("msle", "mean_squared_logarithmic_error"),
    ):
        NAMES[_module + _short] = NAMES[_module + _short.upper()] = _module + _name

# Modules that Keras 3 has; keras.applications and keras.datasets have modules of their own.
PUBLIC_MODULES: set[str] = {
    "keras." + name
    for name in (
        "activations applications backend callbacks config constraints datasets distribution dtype_policies export "
        "initializers layers losses metrics mixed_precision models ops optimizers optimizers.legacy "
        "optimizers.schedules preprocessing preprocessing.image preprocessing.sequence quantizers random regularizers "
        "saving tree utils visualization wrappers"
    ).split()
}

# Functions that Keras 3 has in keras.backend; all others are in bert4keras3.backend.K.
KERAS3_BACKEND: set[str] = set(
    "backend clear_session epsilon floatx get_uid image_data_format is_float_dtype is_int_dtype is_keras_tensor "
    "result_type set_epsilon set_floatx set_image_data_format standardize_dtype".split()
)

# Old method → (new method, arguments of the old one after the first).
STEPS = ("steps", "callbacks", "max_queue_size", "workers", "use_multiprocessing", "verbose")
GENERATOR_METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fit_generator": (
        "fit",
        tuple(
            "steps_per_epoch epochs verbose callbacks validation_data validation_steps validation_freq class_weight "
            "max_queue_size workers use_multiprocessing shuffle initial_epoch".split()
        ),
    ),
    "evaluate_generator": ("evaluate", STEPS),
    "predict_generator": ("predict", STEPS),
}

# Arguments of fit, evaluate and predict that Keras 3 does not accept, with their default values.
QUEUE_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "max_queue_size": ("10",),
    "use_multiprocessing": ("False",),
    "workers": ("0", "1"),
}

# Arguments of Layer.add_weight in the order of Keras 2.
ADD_WEIGHT = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")


class Advice(NamedTuple):
    """Advice on a change that the user has to make.

    `recognised` are patterns with * and ?: "keras.backend.gradients" (a name), ".total_loss" (an attribute of a
    possible Keras object), "keras.layers.RNN(name)" and ".compile(name)" (an argument), "def get_updates" (a method).
    {function} in `instead` becomes the name and the lines of the surrounding function.
    """

    kind: str
    recognised: tuple[str, ...]
    instead: str
    is_note: bool = False


def names(prefix: str, words: str) -> tuple[str, ...]:
    """Patterns with the same beginning."""
    return tuple(prefix + word for word in words.split())


ADVICE = (
    Advice(
        "gradients",
        ("keras.backend.gradients", "tensorflow.gradients"),
        "Keras 3 has no symbolic gradients: bert4keras3.gradients has adversarial_training and gradient_penalty, both "
        "called after compile, and gradients(lambda: scalar, variables) for the values",
    ),
    Advice(
        "train_function",
        names(
            ".",
            "train_function test_function predict_function _make_train_function _make_test_function "
            "_make_predict_function total_loss metrics_tensors _feed_* _collected_trainable_weights",
        ),
        "Keras 3 compiles its own training step, so {function} cannot replace it: delete {function}. Write "
        "`from bert4keras3.gradients import adversarial_training`, and after compile "
        "`adversarial_training(model, 'Embedding-Token', epsilon)`. For virtual adversarial training copy the callback "
        "of examples/virtual_adversarial_training.py. For anything else define train_step in a subclass of keras.Model",
    ),
    Advice(
        "get_updates",
        ("def get_updates", ".get_updates", ".get_gradients"),
        "An optimizer of Keras 3 has update_step(self, gradient, variable, learning_rate) instead of get_updates; "
        "bert4keras3.optimizers has all optimizers of bert4keras, and extend_with_* for others",
    ),
    Advice(
        "session",
        names(
            "keras.backend.",
            "get_session set_session tensorflow_backend.get_session tensorflow_backend.set_session "
            "manual_variable_initialization",
        )
        + names(
            "tensorflow.",
            "Session InteractiveSession ConfigProto GPUOptions Graph get_default_graph get_default_session "
            "reset_default_graph global_variables_initializer local_variables_initializer "
            "initialize_all_variables tables_initializer",
        ),
        "Keras 3 has no sessions and no default graph: delete these lines. Values come from K.eval(variable), "
        "model.predict, or K.function(inputs, outputs). For GPU memory use the variable CUDA_VISIBLE_DEVICES, and "
        "tf.config.experimental.set_memory_growth with TensorFlow or XLA_PYTHON_CLIENT_PREALLOCATE=false with JAX",
    ),
    Advice(
        "tensorflow1",
        names(
            "tensorflow.",
            "placeholder* get_variable variable_scope layers.* losses.* train.*Optimizer app.* flags.* "
            "logging.* set_random_seed py_func assign* disable_* enable_eager_execution to_float to_int32 "
            "random_uniform random_normal python.*",
        ),
        "TensorFlow 2 does not have this name. Write keras.Input for a placeholder, self.add_weight in a layer for a "
        "variable, keras.utils.set_random_seed for the seed, and a function of K or keras.ops for the rest",
    ),
    Advice(
        "contrib",
        ("tensorflow.contrib.*", "tensorflow.contrib"),
        "tf.contrib ended with TensorFlow 1: write the layer with keras.layers, bert4keras3.layers or keras.ops",
    ),
    Advice(
        "multi_gpu",
        ("keras.utils.multi_gpu_model",),
        "Keras 3 has no multi_gpu_model: model = bert4keras3.models.data_parallel(model, devices)",
    ),
    Advice(
        "distribute",
        ("tensorflow.distribute.*", ".to_dataset"),
        "tf.distribute and to_dataset need TensorFlow as the backend of Keras, where they still work. On JAX and "
        "PyTorch build the model without a strategy: model = bert4keras3.models.data_parallel(model, devices). Let the "
        "generator yield batches, and fit on generator.forfit()",
    ),
    Advice(
        "function_updates",
        ("keras.backend.function(updates)",),
        "K.function accepts no updates on Keras 3: assign to variables in the call of a layer or in train_step",
    ),
    Advice(
        "add_loss",
        (".add_loss",),
        "Keras 3 has no add_loss on a model: define the loss in a subclass of bert4keras3.layers.Loss, by "
        "compute_loss(self, inputs, mask=None), and apply this layer to the inputs and outputs of the model",
    ),
    Advice(
        "add_metric",
        (".add_metric",),
        "Keras 3 has no add_metric on a model: call self.add_metric in a subclass of bert4keras3.layers.Loss",
    ),
    Advice(
        "learning_phase",
        ("keras.backend.set_learning_phase", "keras.backend.learning_phase_scope"),
        "Call the model with training=True or training=False instead of setting a learning phase",
    ),
    Advice(
        "output_at",
        names(
            ".",
            "get_output_at get_input_at get_output_mask_at get_input_mask_at get_output_shape_at "
            "get_input_shape_at",
        ),
        "layers of bert4keras3 have this method, layers of Keras 3 do not: use layer.output there, or store the tensor",
        is_note=True,
    ),
    Advice(
        "inbound_nodes",
        (".inbound_nodes", ".outbound_nodes", "._keras_shape"),
        "Layers and tensors of Keras 3 do not have this: use layer.output, layer.input or tensor.shape, or "
        "bert4keras3.backend.search_layer(tensor, name)",
    ),
    Advice(
        "decay",
        names("keras.optimizers.", "*(decay) *(schedule_decay)") + ("bert4keras3.optimizers.*(decay)",),
        "Optimizers of Keras 3 accept no decay: pass learning_rate=keras.optimizers.schedules.InverseTimeDecay("
        "learning_rate, 1, decay)",
    ),
    Advice(
        "checkpoint_period",
        ("keras.callbacks.ModelCheckpoint(period)",),
        "ModelCheckpoint of Keras 3 accepts no period: pass save_freq, 'epoch' or a number of batches",
    ),
    Advice(
        "compile_arguments",
        (".compile(target_tensors)", ".compile(sample_weight_mode)"),
        "compile of Keras 3 does not accept this argument: pass targets to fit, and weights of time steps as "
        "sample_weight of shape (batch, time)",
    ),
    Advice(
        "by_name",
        (".load_weights(by_name)",),
        "Keras 3 loads by name only from .h5 files that Keras 2 wrote; load its own files by load_weights(name, "
        "skip_mismatch=True)",
    ),
    Advice(
        "predict_classes",
        (".predict_classes",),
        "Keras 3 has no predict_classes: write model.predict(x).argmax(axis=-1)",
    ),
    Advice(
        "preprocessing",
        names(
            "keras.preprocessing.",
            "text text.* image.ImageDataGenerator image.*Iterator sequence.TimeseriesGenerator "
            "sequence.make_sampling_table sequence.skipgrams",
        ),
        "Keras 3 does not have this: use bert4keras3.tokenizers or keras.layers.TextVectorization for text, "
        "bert4keras3.snippets.DataGenerator for batches, keras.layers.Random* for images",
    ),
    Advice(
        "removed_layer",
        names(
            "keras.layers.",
            "CuDNNGRU CuDNNLSTM Highway LocallyConnected?D MaxoutDense Recurrent ThresholdedReLU "
            "cudnn_recurrent* local*",
        ),
        "Keras 3 does not have this layer. LSTM and GRU use cuDNN automatically; ReLU(threshold=theta) is similar to "
        "ThresholdedReLU; write your own layers for the others",
    ),
    Advice(
        "removed_function",
        names(
            "keras.",
            "losses.KLD losses.cosine losses.cosine_proximity losses.kld losses.kullback_leibler_divergence "
            "losses.logcosh models.model_from_config models.model_from_yaml optimizers.TFOptimizer "
            "utils.GeneratorEnqueuer utils.HDF5Matrix utils.OrderedEnqueuer utils.convert_all_kernels_in_model "
            "utils.print_summary callbacks.BaseLogger",
        ),
        "Keras 3 does not have this name: use keras.losses.get('kld') and the like for losses, model_from_json for "
        "models, model.summary() for print_summary, h5py for HDF5Matrix",
    ),
    Advice(
        "scikit_learn",
        ("keras.wrappers.scikit_learn*",),
        "Keras 3 has keras.wrappers.SKLearnClassifier and SKLearnRegressor, which wrap a compiled model",
    ),
    Advice(
        "other_library",
        names("keras_", "bert* contrib* layer_normalization* multi_head* radam* self_attention* transformer*")
        + ("tensorflow_addons*",),
        "This library was written for Keras 2. bert4keras3.layers has ConditionalRandomField, LayerNormalization and "
        "MultiHeadAttention, bert4keras3.optimizers has the optimizers",
    ),
    Advice(
        "abandoned_port",
        ("bert4keras3.Layers_add*", "bert4keras3.Models*"),
        "bert4keras3 1.x had these modules: layers are in bert4keras3.layers, models in bert4keras3.models",
    ),
    Advice(
        "missing_in_k",
        names(
            "keras.backend.",
            "batch_normalization control_dependencies ctc_batch_cost ctc_decode foldl foldr moving_average_update "
            "print_tensor resize_images rnn",
        ),
        "K does not have this function on Keras 3: batch_normalization, ctc_loss, ctc_decode, scan and image.resize "
        "are in keras.ops, the moving average is x.assign(…), and print prints",
    ),
)

# Messages for patterns that need more than a name, and for the uses of K.gradients.
SENTENCES = {
    "gradients in a loss": "Keras 3 has no symbolic gradients. Compile with the plain loss instead of {function}, and "
    "then call `bert4keras3.gradients.gradient_penalty(model, 'Embedding-Token', scale)`, which adds scale / 2 "
    "times the squared gradient to the loss",
    "gradients in training": "Keras 3 has no symbolic gradients: delete {function}, see the message above",
    "lambda_closure": "The function of this Lambda uses the tensor %s of the model, which Keras 3 refuses: pass all "
    "tensors as a list, Lambda(lambda tensors: …)([x, %s])",
    "validation_data": "Keras no longer sets self.validation_data of callbacks: pass the data to its constructor",
    "private_module": "%s is private or gone: import the name from keras.layers, keras.models or keras.utils",
    "backend_name": "Keras 3 does not have keras.backend.%s: from bert4keras3.backend import K, and write K.%s",
    "name_taken": "%s is keras here, but the name %s means something else in this script: rename that, then write "
    "from bert4keras3.backend import %s",
    "unfinished_call": "%s is not called here: write %s, which accepts the same generator",
}

# Notes are for information; they need no change.
NOTES = {
    "gradients": "K.gradients works on Keras 3 in the call of a layer during predict, for gradients by its input",
    "renamed_file": "the file %s is now called %s: rename a file that an earlier run saved",
    "queue_argument": "%s is removed: Keras 3 accepts it in the constructor of a keras.utils.PyDataset",
    "other_object": "%s belongs to an object of %s: if it is a Keras model, write %s",
    "tensorflow": "tf.%s runs on TensorFlow only: K and keras.ops run on JAX and PyTorch too",
}
