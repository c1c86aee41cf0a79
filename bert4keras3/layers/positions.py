"""Position embeddings that are added to, multiplied with or joined to token embeddings."""

from bert4keras3.backend import Layer, keras, ops


def merge_positions(x, embeddings, merge_mode):
    """x: (batch, length, size). embeddings: (1 or batch, length, size)."""
    if merge_mode == "add":
        return x + embeddings
    if merge_mode == "mul":
        return x * (embeddings + 1.0)
    if merge_mode == "zero":
        return embeddings
    shape = ops.shape(x)
    embeddings = ops.broadcast_to(embeddings, (shape[0], shape[1], embeddings.shape[-1]))
    return ops.concatenate([x, embeddings], axis=-1)


class PositionEmbedding(Layer):
    """Trained position embeddings.

    Inputs: x (batch, length, size), or [x, position ids (batch, length)] with `custom_position_ids`.
    `merge_mode`: "add", "mul" (x · (1 + p)), "zero" (positions alone), anything else joins the last axes.
    `hierarchical`: True (alpha 0.4) or alpha, lets the table of n rows serve n² positions:
    https://kexue.fm/archives/7947
    """

    def __init__(
        self,
        input_dim,
        output_dim,
        merge_mode="add",
        hierarchical=None,
        embeddings_initializer="zeros",
        custom_position_ids=False,
        **kwargs,
    ):
        super(PositionEmbedding, self).__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.merge_mode = merge_mode
        self.hierarchical = hierarchical
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.custom_position_ids = custom_position_ids

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
        )
        self.built = True

    def call(self, inputs, mask=None):
        if self.custom_position_ids:
            x, position_ids = inputs
            embeddings = self.lookup(ops.cast(position_ids, "int32"))  # (batch, length, size)
        elif self.hierarchical:
            x = inputs
            position_ids = ops.arange(0, ops.shape(x)[1], dtype="int32")
            embeddings = ops.expand_dims(self.lookup(position_ids), 0)  # (1, length, size)
        else:
            x = inputs
            # a slice, not a lookup: a text longer than the table is then an error in every framework
            embeddings = ops.expand_dims(self.embeddings[: ops.shape(x)[1]], 0)  # (1, length, size)
        return merge_positions(x, embeddings, self.merge_mode)

    def lookup(self, position_ids):
        if not self.hierarchical:
            return ops.take(self.embeddings, position_ids, axis=0)
        alpha = 0.4 if self.hierarchical is True else self.hierarchical
        table = (self.embeddings - alpha * self.embeddings[:1]) / (1 - alpha)
        coarse = ops.take(table, position_ids // self.input_dim, axis=0)
        fine = ops.take(table, position_ids % self.input_dim, axis=0)
        return alpha * coarse + (1 - alpha) * fine

    def compute_mask(self, inputs, mask=None):
        return mask[0] if self.custom_position_ids and mask is not None else mask

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape[0] if self.custom_position_ids else input_shape)
        if self.merge_mode in ("add", "mul", "zero"):
            return shape[:2] + (self.output_dim,)
        return shape[:2] + (shape[2] + self.output_dim,)

    def get_config(self):
        config = super(PositionEmbedding, self).get_config()
        config.update(
            input_dim=self.input_dim,
            output_dim=self.output_dim,
            merge_mode=self.merge_mode,
            hierarchical=self.hierarchical,
            embeddings_initializer=keras.initializers.serialize(self.embeddings_initializer),
            custom_position_ids=self.custom_position_ids,
        )
        return config
