"""The two ways to write: token by token, or with a beam of texts that are followed at a time.

Each has a start on the prompts and a step; the generator compiles `start`, and a loop of `step`.
"""

from bert4keras3.backend import ops
from bert4keras3.generation.choosing import MASKED_SCORE, allowed_scores, choose_tokens
from bert4keras3.generation.texts import ROWS, append, read_newest, read_prompts, rows_of_state


class TokenByToken:
    """One text for each prompt."""

    def __init__(self, decoder, form):
        self.decoder = decoder
        self.form = form

    def start(self, state):
        return self.write(*read_prompts(self.decoder, state))

    def step(self, state):
        return self.write(*read_newest(self.decoder, state))

    def scores(self, outputs, state):
        """Outputs (batch, vocabulary) → logits, or logarithms of probabilities, of what may come next."""
        scores = ops.log(outputs + 1e-12) if self.decoder.gives_probabilities else outputs
        return allowed_scores(scores, self.form, state)

    def write(self, outputs, state):
        tokens = choose_tokens(self.scores(outputs, state), self.form, state)
        tokens = ops.where(state["finished"], 0, tokens)
        finished = ops.logical_or(state["finished"], ops.take(state["ends"], tokens))
        return append(dict(state, finished=finished), tokens)

    @staticmethod
    def goes_on(state):
        unfinished = ops.logical_not(ops.all(state["finished"]))
        return ops.logical_and(state["column"] < state["until"], unfinished)


class BeamSearch(TokenByToken):
    """For each prompt the best of `width` texts that are followed at a time, as AutoRegressiveDecoder finds it.

    Rows of the state are texts, `width` for each prompt and the best first. A text that ends while another one is
    better is dropped, and one text less is followed; when the best one ends, it is the result.
    `totals` (prompts, width): sums of the logarithms of probabilities; `followed` (prompts, width): which rows count.
    """

    def __init__(self, decoder, form, width):
        super().__init__(decoder, form)
        self.width = width

    def start(self, state):
        prompts = state["finished"].shape[0]
        outputs, state = read_prompts(self.decoder, state)
        rows = ops.repeat(ops.arange(0, prompts, dtype="int32"), self.width)
        names = [name for name in ROWS if name != "finished"]
        places = ops.expand_dims(ops.arange(0, self.width, dtype="int32"), 0)
        state = dict(
            rows_of_state(state, rows, names),
            totals=ops.where(
                places == 0, ops.zeros((prompts, 1)), MASKED_SCORE
            ),  # all are still the same text
            followed=ops.ones((prompts, self.width), "bool"),
        )
        return self.write(ops.take(outputs, rows, axis=0), state)

    def write(self, outputs, state):
        (prompts, width), vocabulary = state["totals"].shape, outputs.shape[-1]
        scores = ops.log_softmax(self.scores(outputs, state), axis=-1)
        totals = ops.where(state["followed"], state["totals"], MASKED_SCORE)
        scores = ops.expand_dims(totals, -1) + ops.reshape(scores, (prompts, width, vocabulary))
        totals, best = ops.top_k(ops.reshape(scores, (prompts, width * vocabulary)), width)
        best = ops.cast(best, "int32")
        places = ops.expand_dims(ops.arange(0, width, dtype="int32"), 0)
        over = ops.expand_dims(state["finished"], 1)
        parents = ops.where(over, places, best // vocabulary)
        tokens = ops.where(over, 0, best % vocabulary)
        count = ops.sum(ops.cast(state["followed"], "int32"), axis=1, keepdims=True)
        complete = ops.logical_and(ops.take(state["ends"], tokens), places < count)
        rows = ops.reshape(ops.expand_dims(ops.arange(0, prompts, dtype="int32") * width, 1) + parents, (-1,))
        state = dict(
            rows_of_state(state, rows, ("tokens", "caches")),  # what was read is the same for all of a prompt
            totals=totals,
            followed=ops.logical_and(places < count, ops.logical_not(complete)),
            finished=ops.logical_or(state["finished"], complete[:, 0]),
        )
        return append(state, ops.reshape(tokens, (-1,)))
