"""Models that the reference lacks, written on its API: GAU-α as its authors ship it beside their checkpoint."""

from bert4keras.layers import Add, Dropout, GatedAttentionUnit, LayerNormalization
from bert4keras.models import RoFormerV2


class GAU_alpha(RoFormerV2):
    """GAU → Dropout → Add → LN"""

    def apply_main_layers(self, inputs, index):
        name = f"Transformer-{index}-GatedAttentionUnit"
        y = self.apply(
            [inputs, self.compute_position_bias(inputs)],
            layer=GatedAttentionUnit,
            arguments={"p_bias": "rotary"},
            units=self.intermediate_size,
            key_size=self.attention_key_size,
            activation=self.hidden_act,
            use_bias=False,
            normalization="softmax_plus",
            attention_dropout=self.attention_dropout_rate,
            kernel_initializer=self.initializer,
            name=name,
        )
        y = self.apply(y, layer=Dropout, rate=self.dropout_rate, name=name + "-Dropout")
        y = self.apply([inputs, y], layer=Add, name=name + "-Add")
        return self.apply(
            y, layer=LayerNormalization, zero_mean=False, scale=False, offset=False, name=name + "-Norm"
        )

    def variable_mapping(self):
        mapping = {
            "Embedding-Token": ["bert/embeddings/word_embeddings"],
            "Embedding-Segment": ["bert/embeddings/token_type_embeddings"],
        }
        for i in range(self.num_hidden_layers):
            layer = f"GAU_alpha/encoder/layer_{i}/gau/"
            parts = ("i_dense/kernel", "q_scaleoffset/gamma", "k_scaleoffset/gamma", "o_dense/kernel")
            mapping[f"Transformer-{i}-GatedAttentionUnit"] = [layer + part for part in parts]
        return mapping


# {`model=`: class}
REFERENCE_MODELS = {"gau_alpha": GAU_alpha}
