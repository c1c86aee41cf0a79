"""A Transformer's call on the next tokens of texts, with the keys and values of all tokens before them in a cache.

The model's own `apply_embeddings`, `apply_main_layers` and `apply_final_layers` run, on real tensors. What knows
the place of a token or looks at other tokens is done here; every other layer is called as it is.

Texts stand at the right: text i begins in column `starts[i]`, so that all of them grow in the same column.
"""

from bert4keras3.backend import (
    apply_rotary_position_embeddings,
    attention_normalize,
    dense,
    dense_group,
    flatten,
    keras,
    ops,
    with_transposed_kernels,
    write_column,
)
from bert4keras3.layers import (
    CausalMask,
    Embedding,
    FeedForward,
    FirstToken,
    GatedAttentionUnit,
    LayerNormalization,
    MultiHeadAttention,
    PositionEmbedding,
    RelativePositionEmbedding,
    ScaleOffset,
    SinusoidalPositionEmbedding,
    UniLMMask,
)
from bert4keras3.layers.positions import merge_positions, sinusoidal_embeddings, upcast_floatx

# Layers that treat each token alone. A pooler's FirstToken does not, but no text depends on it.
TOKEN_WISE = (
    Embedding,
    FeedForward,
    FirstToken,
    LayerNormalization,
    ScaleOffset,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Dropout,
)


class IncrementalCall:
    """One call: `self(tokens, segments)` → the outputs of each text's last token, (batch, vocabulary).

    state: of the texts, see `texts.py`. first: column of the first token, 0 for a call on the prompts, which makes
    the caches. Afterwards `caches` and `cross` are those of the next call.
    """

    def __init__(self, decoder, state, first=None):
        self.decoder = decoder
        self.state = state
        self.first = 0 if first is None else first
        self.old = None if first is None else iter(state["caches"])
        self.old_cross = None if first is None else iter(state["cross"])
        self.caches, self.cross = [], []

    def __call__(self, tokens, segments=None):
        total, length = self.state["tokens"].shape[1], tokens.shape[1]
        self.total = total
        self.keys = ops.arange(0, length if self.old is None else total, dtype="int32")  # columns
        self.queries = self.first + ops.arange(0, length, dtype="int32")
        starts = ops.expand_dims(self.state["starts"], 1)
        self.positions = ops.maximum(ops.expand_dims(self.queries, 0) - starts, 0)  # (batch, length)
        # as Embedding.compute_mask has it: id 0 is padding, but not as the first token
        columns = self.keys.shape[0]
        known = ops.not_equal(self.state["tokens"][:, :columns], 0)
        if "masked" in self.state:
            known = ops.logical_and(known, ops.logical_not(self.state["masked"][:, :columns]))
        self.keep = ops.logical_or(known, ops.equal(ops.expand_dims(self.keys, 0), starts))  # (batch, key)
        inputs = [tokens] if segments is None else [tokens, segments]
        if "context" in self.state:
            inputs.insert(0, self.state["context"])
        return self.run(inputs)

    def run(self, inputs):
        """The transformer's call with its layers led here, and what it remembers of its own model put aside."""
        decoder = self.decoder
        names = ("inputs", "attention_bias", "position_bias")
        remembered = {name: getattr(decoder, name) for name in names}
        decoder.inputs, decoder.attention_bias, decoder.position_bias = inputs, None, None
        decoder.call_layer = self.call_layer
        try:
            with with_transposed_kernels(weight_groups(decoder), self.state.get("kernels", ())):
                outputs = self.run_layers(decoder.simplify(inputs))
        finally:
            del decoder.call_layer
            for name, value in remembered.items():
                setattr(decoder, name, value)
        return (outputs[-1] if isinstance(outputs, list) else outputs)[:, 0]

    def run_layers(self, inputs):
        outputs = self.decoder.apply_embeddings(inputs)
        for index in range(self.decoder.num_hidden_layers):
            outputs = self.decoder.apply_main_layers(outputs, index)
        if isinstance(outputs, list):
            outputs = outputs[:-1] + [outputs[-1][:, -1:]]
        else:
            outputs = outputs[:, -1:]
        return self.decoder.apply_final_layers(outputs)

    def call_layer(self, layer, inputs, arguments):
        for kind, call in self.CALLS.items():
            if isinstance(layer, kind):
                return call(self, layer, inputs, **arguments)
        if isinstance(layer, TOKEN_WISE) or getattr(layer, "token_wise", False):
            return layer(inputs, **arguments)
        raise ValueError(
            f"{layer.name} ({type(layer).__name__}): cannot be cached, as it may look at other tokens than "
            "the new ones. Set `token_wise = True` on its class if it treats each token alone."
        )

    # Attention

    def attend(self, layer, inputs, **arguments):
        (query, source), biases = inputs[:2], list(inputs[3:])
        if source is query:
            qw, kw, vw = dense_group([layer.q_dense, layer.k_dense, layer.v_dense], query)
            qw, kw = layer.split_heads(qw, layer.key_size), layer.split_heads(kw, layer.key_size)
            vw = layer.split_heads(vw, layer.head_size)
            if arguments.get("p_bias") == "rotary":  # keys are kept rotated
                qw, kw = apply_rotary_position_embeddings(biases.pop(), qw, kw)
                arguments["p_bias"] = None
            # kept by heads, as their products read them: XLA would turn them round for each token
            kw, vw = map(swap, self.extend(swap(kw), swap(vw), axis=2))
            keep = self.keep
        else:
            qw = layer.split_heads(dense(layer.q_dense, query), layer.key_size)
            # the keys and values of the other text are made in the first call alone
            self.cross.append(
                self.keys_and_values(layer, inputs) if self.old is None else next(self.old_cross)
            )
            (kw, vw), keep = self.cross[-1], self.state["context_keep"]
        o, _ = layer.pay_attention_to([qw, kw, vw] + biases, [None, keep], **arguments)
        return dense(layer.o_dense, flatten(o, 2))  # (batch, query, out_dim)

    def keys_and_values(self, layer, inputs):
        kw = layer.split_heads(dense(layer.k_dense, inputs[1]), layer.key_size)
        return [kw, layer.split_heads(dense(layer.v_dense, inputs[2]), layer.head_size)]

    def attend_gated(self, layer, inputs, a_bias=None, p_bias=None):
        x, biases = dense(layer.i_dense, inputs[0]), list(inputs[1:])
        u, v = x[..., : layer.units], x[..., layer.units : 2 * layer.units]
        base = x[..., 2 * layer.units :]
        q, k = layer.q_scaleoffset(base), layer.k_scaleoffset(base)
        bias = biases.pop(0) if a_bias else None
        if p_bias == "rotary":
            q, k = apply_rotary_position_embeddings(biases[0], q, k)
        k, v = self.extend(k, v)
        a = ops.einsum("bjd,bkd->bjk", q, k)
        if layer.attention_scale:
            a = a / layer.key_size**0.5
        weights = attention_normalize(a, self.keep, -1, layer.normalization, bias)
        return dense(layer.o_dense, u * ops.einsum("bjk,bkd->bjd", weights, v))  # (batch, query, size)

    def extend(self, *new, axis=1):
        """New keys and values, with tokens along the axis → all of them, which are kept too."""
        if self.old is None:
            padding = [(0, 0)] * len(new[0].shape)
            padding[axis] = 0, self.total - new[0].shape[axis]
            self.caches.append([ops.pad(x, padding) for x in new])
            return new
        self.caches.append([write_column(old, self.first, x, axis) for old, x in zip(next(self.old), new)])
        return self.caches[-1]

    # Masks and positions

    def mask_causally(self, layer, inputs):
        return ops.less_equal(ops.expand_dims(self.keys, 0), ops.expand_dims(self.queries, 1))

    def mask_segments(self, layer, inputs):
        order = self.state["order"]
        of_keys = order[:, : self.keys.shape[0]]
        of_queries = ops.take(order, self.queries, axis=1)
        return ops.less_equal(ops.expand_dims(of_keys, 1), ops.expand_dims(of_queries, 2))

    def add_position(self, layer, inputs):
        return merge_positions(inputs, layer.lookup(self.positions), layer.merge_mode)

    def add_sinusoid(self, layer, inputs):
        embeddings = sinusoidal_embeddings(ops.cast(self.positions, upcast_floatx()), layer.output_dim)
        return merge_positions(inputs, embeddings, layer.merge_mode)

    def relate_positions(self, layer, inputs):
        """(query, key, size): distances in one text are those of the columns. The text of an encoder begins in column
        0, and the texts that are written from it all in the same one.
        """
        query, key = inputs
        keys, queries = self.keys, self.queries
        if key is not query:
            keys, queries = ops.arange(0, key.shape[1], dtype="int32"), queries - self.state["starts"][0]
        distances = ops.expand_dims(keys, 0) - ops.expand_dims(queries, 1)
        return ops.take(ops.cast(layer.embeddings, layer.compute_dtype), layer.rows(distances), axis=0)

    def multiply(self, layer, inputs):
        return dense(layer, inputs)

    CALLS = {
        MultiHeadAttention: attend,
        GatedAttentionUnit: attend_gated,
        CausalMask: mask_causally,
        UniLMMask: mask_segments,
        PositionEmbedding: add_position,
        SinusoidalPositionEmbedding: add_sinusoid,
        RelativePositionEmbedding: relate_positions,
        keras.layers.Dense: multiply,
    }


def weight_groups(decoder):
    """Layers that multiply a new token by their weights, those of the same inputs together."""
    groups = []
    for layer in decoder.layers.values():
        if isinstance(layer, MultiHeadAttention):
            query, source = layer._inbound_nodes[0].input_tensors[:2]
            groups.append([layer.q_dense] + ([layer.k_dense, layer.v_dense] if query is source else []))
            groups.append([layer.o_dense])
        else:
            groups.extend([one] for one in layer._flatten_layers())
    return groups


def swap(x):
    """(batch, length, heads, size) → (batch, heads, length, size), and back"""
    return ops.transpose(x, (0, 2, 1, 3))
