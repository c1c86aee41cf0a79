"""Small programs on the classes of `snippets`, run with bert4keras's for the golden and with ours in the tests.

Each takes the module and returns what JSON can hold. Where the reference leaves an order open (of equal scores,
of candidates within the top k, of results from workers), a scenario does not look at it.
"""

import functools
import importlib
import itertools

import numpy as np

from parity.models.releases import BY_NAME
from parity.store import release_paths


def table_decoder(snippets, rtype, vocab_size=7, seed=0, use_states=False, **arguments):
    """A decoder whose scores depend on the input and on the last two tokens, by a fixed table."""
    scores = np.random.RandomState(seed).normal(size=(5, 11, 11, vocab_size)) * 2
    table = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True) if rtype == "probas" else scores

    class Decoder(snippets.AutoRegressiveDecoder):
        @snippets.AutoRegressiveDecoder.wraps(default_rtype=rtype, use_states=use_states)
        def predict(self, inputs, output_ids, states):
            (kinds,) = inputs
            last = output_ids[:, -1] if output_ids.shape[1] else np.full(len(output_ids), 10)
            before = output_ids[:, -2] if output_ids.shape[1] > 1 else np.full(len(output_ids), 9)
            chosen = table[kinds[:, 0], last, before].copy()
            return (chosen, (states or 0) + 1) if use_states else chosen

    return Decoder(**dict(dict(start_id=0, end_id=2, maxlen=12), **arguments))


DECODERS = [
    dict(rtype="probas"),
    dict(rtype="logits"),
    dict(rtype="probas", start_id=None),
    dict(rtype="logits", minlen=5, use_states=True),
    dict(rtype="probas", maxlen=3),
    dict(rtype="logits", vocab_size=11, seed=1),
]


def beam_search(snippets):
    found = []
    for arguments, kind, topk in itertools.product(DECODERS, range(5), (1, 2, 5)):
        decoder = table_decoder(snippets, **arguments)
        for options in ({}, {"temperature": 0.7}, {"min_ends": 2}):
            found.append(decoder.beam_search([[kind]], topk, **options).tolist())
    return found


def random_sample(snippets):
    """All tokens, and those of topp, are in a defined order in the reference too."""
    found = []
    ways = ({}, {"topp": 0.8}, {"topp": 0.3, "temperature": 2}, {"min_ends": 2}, {"topk": 1})
    for arguments, kind, options in itertools.product(DECODERS, range(5), ways):
        np.random.seed(kind)
        samples = table_decoder(snippets, **arguments).random_sample([[kind]], 4, **options)
        found.append([sample.tolist() for sample in samples])
    return found


def generation(snippets):
    """Texts that a small UniLM continues, as published scripts let it."""
    models = importlib.import_module(snippets.__name__.replace("snippets", "models"))
    config_path, checkpoint_path = map(str, release_paths(BY_NAME["google_bert"]))
    model = models.build_transformer_model(config_path, checkpoint_path, application="unilm")

    class Continuation(snippets.AutoRegressiveDecoder):
        @snippets.AutoRegressiveDecoder.wraps(default_rtype="probas")
        def predict(self, inputs, output_ids, states):
            token_ids, segment_ids = inputs
            token_ids = np.concatenate([token_ids, output_ids], 1)
            segment_ids = np.concatenate([segment_ids, np.ones_like(output_ids)], 1)
            return self.last_token(model).predict([token_ids, segment_ids])

    decoder = Continuation(start_id=None, end_id=3, maxlen=2)  # JAX compiles for each length
    found = []
    for tokens in ([5, 60, 7, 3], [90, 41, 60, 3]):
        inputs = [tokens, [0] * len(tokens)]
        np.random.seed(tokens[0])
        found.append([decoder.beam_search(inputs, topk=2).tolist()])
        found.append([ids.tolist() for ids in decoder.random_sample(inputs, 2, topp=0.5)])
    return found


def predictions(snippets):
    """What `wraps` makes of probabilities, of logits and of states."""
    found = []
    for arguments, rtype, temperature in itertools.product(DECODERS, ("probas", "logits"), (1, 0.5, 2)):
        decoder = table_decoder(snippets, **arguments)
        scores, states = decoder.predict([np.array([[0], [3]])], np.array([[0], [4]]), 7, temperature, rtype)
        found.append([np.round(scores, 9).tolist(), states])
    return found


def viterbi(snippets):
    found = []
    random = np.random.RandomState(0)
    limits = [{}, {"starts": [0, 2]}, {"ends": [1]}, {"starts": [1], "ends": [0, 2]}]
    for labels, length, keywords in itertools.product((3, 5), (1, 2, 9), limits):
        decoder = snippets.ViterbiDecoder(random.normal(size=(labels, labels)), **keywords)
        found.append(decoder.decode(random.normal(size=(length, labels))).tolist())
    return found


def data_generator(snippets):
    """Steps, samples in order and at random, batches of two epochs for fit."""

    class Generator(snippets.DataGenerator):
        def __iter__(self, random=False):
            batch = []
            for is_end, sample in self.sample(random):
                batch.append(sample)
                if len(batch) == self.batch_size or is_end:
                    yield [np.array(batch), -np.array(batch)], None
                    batch = []

    def lists(batches):
        return [[part.tolist() for part in inputs] for inputs, _ in batches]

    found, batched = [], ({"batch_size": 4}, {"batch_size": 3, "buffer_size": 2})
    for size, with_length, keywords in itertools.product((1, 5, 8, 9), (True, False), batched):
        data = list(range(size)) if with_length else WithoutLength(size)
        generator = Generator(data, **keywords)
        np.random.seed(size)
        batches = -(-size // generator.batch_size)
        results = [generator.steps, generator.buffer_size]
        for random in (False, True):
            results.append([[bool(is_end), sample] for is_end, sample in generator.sample(random)])
        for random in (True, False):
            results.append(lists(itertools.islice(generator.forfit(random), 2 * batches)))
        found.append([*results, lists(generator)])
    return found


class WithoutLength:
    """Data that cannot say how long it is."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return iter(range(self.size))


def power(exponent, number):
    return number**exponent


def parallel_apply(snippets):
    """Results from threads and processes, sorted where their order is open."""
    square, numbers, found = functools.partial(power, 2), list(range(20)), []
    for dummy in (False, True):
        options = dict(workers=2, max_queue_size=3, dummy=dummy)
        called = []
        found += [
            sorted(snippets.parallel_apply(square, numbers, **options)),
            snippets.parallel_apply(square, iter(numbers), unordered=False, **options),
            snippets.parallel_apply(square, numbers, callback=called.append, **options),
            sorted(called),
            sorted(map(list, snippets.parallel_apply_generator(square, iter("a" * 0), **options))),
            sorted(map(list, snippets.parallel_apply_generator(square, numbers[:1], **options))),
        ]
    return found


FUNCTIONS = (beam_search, random_sample, generation, predictions, viterbi, data_generator, parallel_apply)
SCENARIOS = {scenario.__name__: scenario for scenario in FUNCTIONS}
