"""Generation with cached keys and values: equal to the model without a cache, to single prompts and to the golden."""

import itertools

import numpy as np
import pytest
from small_models import SIZES

from bert4keras3 import ops
from bert4keras3.backend import FLAVOUR, framework, keras
from bert4keras3.generation import CachedModel, Generator
from bert4keras3.layers import Layer, MultiHeadAttention
from bert4keras3.models import BERT, LM_Mask, build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder
from parity.generation.cases import BEAMS, CASES, NO_END, predict_function
from parity.generation.compare import ROUNDING, read_golden, sequences_of
from parity.kinds import KINDS_BY_NAME, verdict
from parity.store import release_paths

GOLDEN = read_golden()
BY_NAME = {case.name: case for case in CASES}
PROMPTS = [[7, 21, 35, 90, 14], [101, 8, 64], [5, 0, 9, 11]]  # a 0 inside a text is padding to the model
INT8 = {"int8": {}, "int8 weights": {"activation_quantizer": None}}
# mt5 in int8 takes a minute to compile
FORMS = [
    pytest.param(
        name, form, marks=[] if name == "gpt" or (name, form) == ("mt5", "float32") else pytest.mark.slow
    )
    for name in BY_NAME
    for form in ("float32", *INT8)
]

pytestmark = pytest.mark.skipif(FLAVOUR != "keras3", reason="generation with a cache needs Keras 3")
made = {}


def released(name, form="float32", **arguments):
    """The transformer of a case with its random weights, made once. form: "float32", or one of INT8."""
    key = name, form, tuple(arguments.items())
    if key not in made:
        case = BY_NAME[name]
        config_path, checkpoint = map(str, release_paths(case.checkpoint))
        made[key] = build_transformer_model(
            config_path, checkpoint, return_keras_model=False, **dict(case.arguments, **arguments)
        )
        if form in INT8:
            made[key].model.quantize(config=keras.quantizers.Int8QuantizationConfig(**INT8[form]))
    return made[key]


def generator(name, *arguments):
    key = "generator", name, arguments
    if key not in made:
        made[key] = Generator(released(name), *arguments)
    return made[key]


def small_gpt2(**arguments):
    return build_transformer_model(model="gpt2", return_keras_model=False, **dict(SIZES, **arguments))


def uncached_outputs(name, transformer, prompt, new):
    """Outputs of the whole model after the prompt and each further token: (len(new) + 1, vocabulary)."""
    predict = predict_function(BY_NAME[name], transformer)
    sequences = [np.array([new[:count]], dtype=int).reshape(1, -1) for count in range(len(new) + 1)]
    start = np.zeros((1, 1 if hasattr(transformer, "encoder") else 0), int)
    return np.concatenate(
        [predict(np.array([prompt]), np.concatenate([start, x], axis=1)) for x in sequences]
    )


# Laws


@pytest.mark.parametrize(
    "name, beams",
    [
        pair if pair in (("gpt2", 3), ("mt5", 1)) else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(BY_NAME, BEAMS)
    ],
)
def test_sequences_are_those_of_the_reference(name, beams):
    case = f"{name}-beams-{beams}"
    texts = []
    for text in sequences_of(case):
        one = with_ends(generator(name), () if text["end"] == NO_END else (text["end"],))
        new = Generator.generate(one, [text["prompt"]], max_tokens=BY_NAME[name].max_tokens, beams=beams)
        texts.append(new[0].tolist())
    assert verdict(KINDS_BY_NAME["generation"], case, texts).red is None


def with_ends(one, ends):
    one.end_tokens = ends
    return one


@pytest.mark.parametrize("name, form", FORMS)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_cached_outputs_are_those_of_the_whole_model(name, form):
    if form == "int8" and framework == "torch":
        pytest.skip(
            "FBGEMM rounds the inputs of all tokens by one range, and the whole sequence has another range"
        )
    transformer, prompt = released(name, form), PROMPTS[0]
    new = Generator(transformer).generate([prompt], max_tokens=6)[0]
    expected = uncached_outputs(name, transformer, prompt, new)
    assert new.tolist() == expected[:-1].argmax(axis=1).tolist()
    cached, got = CachedModel(transformer), []
    for count in range(len(new) + 1):
        text, inputs = np.array([new[:count]], dtype=int), []
        if hasattr(transformer, "encoder"):
            text = np.concatenate([[[0]], text], axis=1)
            inputs = [np.asarray(transformer.encoder.predict(np.array([prompt]), verbose=0)), text]
        else:
            inputs = [np.concatenate([[prompt], text], axis=1)]
            if len(transformer.model.inputs) > 1:
                new_segments = np.ones_like(text) * cached.decoder.is_unilm
                inputs.append(np.concatenate([np.zeros((1, len(prompt)), int), new_segments], axis=1))
        got.append(cached.predict(inputs)[0])
    assert cached.start.compilations == 1 and cached.step.compilations == 1
    error = np.sqrt(np.mean((np.array(got) - expected) ** 2) / np.mean(expected**2))
    assert error < ROUNDING, f"{name}: cached outputs are off by {error:.1e}, bound {ROUNDING:.0e}"


@pytest.mark.parametrize("beams", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    ["bert-unilm"] + [pytest.param(one, marks=pytest.mark.slow) for one in BY_NAME if one != "bert-unilm"],
)
def test_sequences_of_a_batch_are_those_of_single_prompts(name, beams):
    ends = (GOLDEN[name][0]["tokens"][3],)
    one = with_ends(generator(name), ends)
    together = one.generate(PROMPTS, max_tokens=6, beams=beams)
    for prompt, new in zip(PROMPTS, together):
        alone = one.generate([prompt], max_tokens=6, beams=beams)[0]
        assert new.tolist() == alone.tolist(), f"{name}, prompt {prompt!r} in a batch"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert-unilm", "mt5"])
def test_decoder_generates_the_same_with_a_cached_model(name):
    transformer, prompt = released(name), np.array(PROMPTS[0])
    cached, calls = CachedModel(transformer), []
    cached.restart = lambda inputs: calls.append(len(inputs[0])) or CachedModel.restart(cached, inputs)
    has_encoder = hasattr(transformer, "encoder")
    inputs = [prompt, np.zeros_like(prompt)]
    if has_encoder:
        inputs = [np.asarray(transformer.encoder.predict(prompt[None], verbose=0))[0]]

    class Decoder(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.wraps()
        def predict(self, inputs, output_ids, states):
            if has_encoder:
                return self.last_token(self.model).predict([inputs[0], output_ids])
            parts = zip(inputs, (output_ids, np.ones_like(output_ids)))
            return self.last_token(self.model).predict([np.concatenate(pair, axis=1) for pair in parts])

    decoder = Decoder(0 if has_encoder else None, GOLDEN[name][3]["end"], maxlen=6)
    texts = {}
    for model in (transformer.decoder if has_encoder else transformer.model, cached):
        decoder.model = model
        np.random.seed(0)
        texts[model] = [decoder.beam_search(inputs, topk=topk).tolist() for topk in (1, 3)]
        texts[model] += [text.tolist() for text in decoder.random_sample(inputs, 3, topk=20, topp=0.9)]
    assert texts[cached] == next(iter(texts.values()))
    assert calls == [1, 1, 1], f"a search runs its prompt once; rows of each prefill: {calls!r}"


# Choices


@pytest.mark.slow
def test_greedy_is_what_narrow_sampling_gives():
    one = with_ends(generator("gpt2"), ())
    greedy = one.generate(PROMPTS, max_tokens=6)
    for options in (dict(top_k=1), dict(top_p=1e-6), dict(temperature=1e-4)):
        drawn = one.generate(PROMPTS, max_tokens=6, sample=True, seed=3, **options)
        assert [x.tolist() for x in drawn] == [x.tolist() for x in greedy], options


@pytest.mark.slow
@pytest.mark.parametrize("options", [dict(top_k=5), dict(top_p=0.5), dict(top_k=8, top_p=0.6)])
def test_drawn_tokens_have_their_probabilities(options):
    one = with_ends(generator("gpt2"), ())
    drawn = np.concatenate(one.generate([PROMPTS[0]] * 4000, max_tokens=1, sample=True, seed=0, **options))
    probas = uncached_outputs("gpt2", released("gpt2"), PROMPTS[0], [])[0]
    order = np.argsort(-probas)
    probas = probas[order]
    kept = probas[: options.get("top_k", len(probas))]
    kept = kept / kept.sum()
    if "top_p" in options:
        kept = kept[: 1 + int((np.cumsum(kept) < options["top_p"]).sum())]
    expected = kept / kept.sum()
    counts = np.bincount(drawn, minlength=len(probas))[order] / len(drawn)
    assert counts[len(kept) :].sum() == 0, f"tokens outside of the {len(kept)} candidates were drawn"
    np.testing.assert_allclose(counts[: len(kept)], expected, atol=0.04)  # 5 standard deviations


def test_a_seed_gives_the_same_sequence_and_another_one_another():
    one = with_ends(generator("gpt2"), ())
    texts = [
        [x.tolist() for x in one.generate(PROMPTS, max_tokens=6, sample=True, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    alone = one.generate(PROMPTS[:1], max_tokens=6, sample=True, seed=1)[0]
    assert alone.tolist() == texts[0][0]
    np.random.seed(5)
    first = one.generate(PROMPTS[:1], max_tokens=6, sample=True)[0].tolist()
    np.random.seed(5)
    assert one.generate(PROMPTS[:1], max_tokens=6, sample=True)[0].tolist() == first


def test_forbidden_tokens_ends_and_lengths_are_kept():
    one = with_ends(generator("gpt2"), ())
    free = one.generate([PROMPTS[0]], max_tokens=6)[0].tolist()
    assert free[0] not in one.generate([PROMPTS[0]], max_tokens=6, forbidden_tokens=[free[0]])[0]
    with_ends(one, (free[2], 3))
    ended = one.generate([PROMPTS[0]], max_tokens=6)[0].tolist()
    assert ended == free[: free.index(free[2]) + 1]
    longer = one.generate([PROMPTS[0]], max_tokens=6, min_tokens=5)[0].tolist()
    assert len(longer) >= 5 and free[2] not in longer[:4]


def test_repetition_penalty_moves_scores_of_tokens_in_the_window():
    from bert4keras3.generation.sampling import SamplingConfig, allowed_scores

    state = dict(
        tokens=np.array([[0, 4, 2, 3, 3, 0]], "int32"),
        starts=np.array([1], "int32"),
        column=np.int32(5),
        first_end=np.int32(0),
        ends=np.zeros(6, "bool"),
        forbidden=np.arange(6) == 5,
        sampling=SamplingConfig(repetition_penalty=2.0, temperature=0.5).traced_values(),
    )
    scores = np.array([[1.0, 1, 1, -1, 1, 1]], "float32")
    for window, expected in (
        (None, [2, 2, 1, -4, 1, -1e30]),
        (3, [2, 2, 1, -4, 2, -1e30]),
        (1, [2, 2, 2, -4, 2, -1e30]),
    ):
        config = SamplingConfig(repetition_penalty=2.0, repetition_window=window).static_part()
        tensors = {k: v if isinstance(v, dict) else ops.convert_to_tensor(v) for k, v in state.items()}
        got = ops.convert_to_numpy(allowed_scores(ops.convert_to_tensor(scores), config, tensors))
        np.testing.assert_allclose(got, [expected], err_msg=f"window {window!r}")


# Streaming, compiling, weights


@pytest.mark.parametrize("every, calls", [(1, 7), (3, 3)])
def test_streamed_tokens_are_those_of_the_sequence(every, calls):
    parts = []
    text = GOLDEN["gpt2"][0]["tokens"]
    one = with_ends(generator("gpt2"), ())
    new = one.generate(PROMPTS[:2], max_tokens=7, stream=parts.append, stream_every=every)
    assert len(parts) == calls
    for i in range(2):
        assert np.concatenate([part[i] for part in parts]).tolist() == new[i].tolist()
    with_ends(one, (text[3],))
    parts.clear()
    new = one.generate(PROMPTS[:2], max_tokens=7, stream=parts.append, stream_every=every)
    assert [np.concatenate([part[i] for part in parts]).tolist() for i in range(2)] == [
        x.tolist() for x in new
    ]


def test_lengths_are_compiled_once_and_weights_are_those_of_the_moment():
    keras.utils.set_random_seed(0)
    transformer = small_gpt2()
    one = Generator(transformer)
    for prompt, max_tokens in (([5, 6], 3), ([5] * 9, 7), ([4] * 16, 8)):
        one.generate([prompt], max_tokens=max_tokens)
    assert one.compilations == 2, f"the start and the loop, got {one.compilations} compilations"
    texts = []
    for layer in transformer.model.layers:
        layer.set_weights([np.random.RandomState(0).normal(size=w.shape) for w in layer.get_weights()])
        texts.append(generated(one))
        assert texts[-1] == generated(one, prompts=2), "two rows are multiplied with the weights themselves"
    assert len(set(map(tuple, texts))) > 1
    compilations = one.compilations
    generated(one)
    assert one.compilations == compilations


def generated(one, prompts=1):
    return one.generate([[5, 6]] * prompts, max_tokens=8, sample=True, seed=0)[0].tolist()


# Errors


def test_what_cannot_be_generated_is_named():
    one = generator("gpt2")
    for arguments, message in (
        (([[]],), "prompt 0 is empty"),
        (([],), "at least one prompt"),
        (([[5] * 30], 2), "12 positions"),
        (([[500]],), "0 to 119"),
        (([[5]], 0), "max_tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            one.generate(*arguments)
    for options, message in (
        (dict(temperature=0), "temperature"),
        (dict(top_p=2), "top_p"),
        (dict(top_k=0), "top_k"),
        (dict(beams=2, sample=True), "beam search"),
        (dict(beams=2, stream=print), "beam search"),
    ):
        with pytest.raises(ValueError, match=message):
            one.generate([[5]], max_tokens=2, **options)


def test_models_that_cannot_be_cached_are_named():
    def built(**arguments):
        return build_transformer_model(return_keras_model=False, **dict(SIZES, **arguments))

    with pytest.raises(ValueError, match="application='lm'"):
        Generator(built(with_mlm=True))
    with pytest.raises(ValueError, match="return_keras_model=False"):
        Generator(released("gpt2").model)
    with pytest.raises(ValueError, match="residual_attention_scores"):
        Generator(built(application="lm", residual_attention_scores=True))
    with pytest.raises(ValueError, match="custom_position_ids"):
        Generator(built(application="lm", custom_position_ids=True))
    with pytest.raises(ValueError, match="no encoder"):
        Generator(built(model="t5.1.0_decoder")).generate([[5]])


def test_layer_that_looks_at_other_tokens_is_named():
    class Looking(Layer):
        def call(self, inputs, mask=None):
            return inputs

        def compute_output_shape(self, input_shape):
            return input_shape

    class Unknown(LM_Mask, BERT):
        def apply_final_layers(self, inputs):
            return super().apply_final_layers(self.apply(inputs, layer=Looking, name="Looking"))

    transformer = build_transformer_model(model=Unknown, with_mlm=True, return_keras_model=False, **SIZES)
    with pytest.raises(ValueError, match="Looking.*token_wise"):
        Generator(transformer).generate([[5]], max_tokens=2)


def test_attention_with_a_call_of_its_own_is_named():
    class Doubled(MultiHeadAttention):
        def call(self, inputs, **arguments):
            return 2 * super().call(inputs, **arguments)

    class Unknown(LM_Mask, BERT):
        def apply(self, inputs=None, layer=None, **arguments):
            return super().apply(inputs, Doubled if layer is MultiHeadAttention else layer, **arguments)

    transformer = build_transformer_model(model=Unknown, with_mlm=True, return_keras_model=False, **SIZES)
    with pytest.raises(ValueError, match="Doubled.*call_cached"):
        Generator(transformer)


# Layers of one's own


class MeanOfTokens(Layer):
    """Half of each token, and half of the mean of the tokens up to it."""

    def call(self, inputs, mask=None):
        counts = ops.cumsum(ops.ones_like(inputs[:, :, :1]), axis=1)
        return (inputs + ops.cumsum(inputs, axis=1) / counts) / 2

    def call_cached(self, inputs, cache, positions):
        (tokens,) = cache.extend(inputs)
        distances = ops.expand_dims(cache.key_columns, 0) - ops.expand_dims(cache.query_columns, 1)
        seen = ops.logical_and(distances <= 0, ops.expand_dims(cache.key_mask, 1))
        weights = ops.cast(seen, "float32") / ops.cast(ops.expand_dims(positions, -1) + 1, "float32")
        return (inputs + ops.matmul(weights, tokens)) / 2

    def compute_output_shape(self, input_shape):
        return input_shape


class Watched(Layer):
    """Does nothing but call `watch`."""

    token_wise = True

    def watch(self):
        pass

    def call(self, inputs, mask=None):
        self.watch()
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def model_with(kind):
    class WithLayer(LM_Mask, BERT):
        def apply_main_layers(self, inputs, index):
            return self.apply(super().apply_main_layers(inputs, index), layer=kind, name=f"Own-{index}")

    keras.utils.set_random_seed(0)
    return build_transformer_model(
        model=WithLayer, with_mlm="linear", segment_vocab_size=0, return_keras_model=False, **SIZES
    )


def test_layer_with_its_own_cached_call_generates_what_the_whole_model_does():
    transformer, prompt = model_with(MeanOfTokens), [5, 6, 9]
    cached = CachedModel(transformer)
    for length in (3, 4, 5):
        ids = np.array([prompt + [7, 8]])[:, :length]
        expected = transformer.model.predict(ids, verbose=0)[:, -1]
        np.testing.assert_allclose(cached.predict(ids), expected, rtol=1e-4, atol=1e-5)
    assert cached.start.compilations == 1 and cached.step.compilations == 1


def test_a_cached_call_keeps_its_state_off_the_transformer(monkeypatch):
    transformer, seen = model_with(Watched), []
    before = dict(vars(transformer))
    monkeypatch.setattr(Watched, "watch", lambda layer: seen.append(dict(vars(transformer))))
    Generator(transformer).generate([[5, 6]], max_tokens=2)
    assert seen
    for during in seen:
        assert during.keys() == before.keys() and all(during[name] is before[name] for name in before)


# For scripts of 1.x


@pytest.mark.parametrize("name", ["bert-unilm", pytest.param("mt5", marks=pytest.mark.slow)])
def test_cache_model_fills_padded_prompts(name, capsys):
    transformer, text = released(name), GOLDEN[name][0]
    prompt, new = text["prompt"], text["tokens"]
    if hasattr(transformer, "encoder"):
        inputs = [[prompt + [0, 0]], np.zeros((1, 8), int)]
        begun = [0]
    else:
        row = prompt + [0] * (12 - len(prompt))
        inputs = [np.array([row]), np.array([[0] * len(prompt) + [1] * (12 - len(prompt))])]
        begun = prompt
    lengths = [np.array(one).shape[1] for one in inputs]
    model = transformer.build_cache_model(lengths, [3], "greedy", progress_print=True, index_bias=1)
    filled = model.predict(inputs)[0].tolist()
    assert filled == (begun + new)[: lengths[-1]]
    assert capsys.readouterr().out.endswith(str(lengths[-1] - len(begun)))
    assert transformer.build_cache_model(lengths, 3, "topk", k=1, index_bias=1).predict(inputs).tolist() == [
        filled
    ]
    with pytest.raises(ValueError, match="search_mode"):
        transformer.build_cache_model(lengths, 3, "beam")
    with pytest.raises(ValueError, match="max_penalty_range"):
        transformer.build_cache_model(lengths, 3, initial=False, max_penalty_range=[1, 3])
