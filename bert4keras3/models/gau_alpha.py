"""GAU-alpha: https://kexue.fm/archives/9052"""

from bert4keras3 import layouts
from bert4keras3.backend import Tensors
from bert4keras3.layers import GatedAttentionUnit
from bert4keras3.models.roformer import RoFormerV2


class GAU_alpha(RoFormerV2):
    """RoFormerV2 with gated attention units and `softmax_plus` in place of its blocks: GAU → Dropout → Add → LN"""

    weight_table = {
        "Embedding-Token": "bert/embeddings/word_embeddings",
        "Embedding-Segment": "bert/embeddings/token_type_embeddings",
        "Transformer-%d-GatedAttentionUnit": "GAU_alpha/encoder/layer_%d/gau/"
        "{i_dense/kernel,{q,k}_scaleoffset/gamma,o_dense/kernel}",
    }

    layout_table = {
        "Embedding-Token": layouts.VOCABULARY,
        "Transformer-%d-GatedAttentionUnit": layouts.GATED_ATTENTION,
    }

    def apply_main_layers(self, inputs: Tensors, index: int) -> Tensors:
        attention_bias = self.compute_attention_bias(index)
        position_bias = self.compute_position_bias(inputs)

        def gated_attention(x, name):
            arguments = {"p_bias": self.position_bias_kind}
            xs = [x, position_bias]
            if attention_bias is not None:
                xs, arguments["a_bias"] = [x, attention_bias, position_bias], True
            return self.apply(
                xs,
                layer=GatedAttentionUnit,
                arguments=arguments,
                units=self.intermediate_size,
                key_size=self.attention_key_size,
                activation=self.hidden_act,
                use_bias=False,
                normalization="softmax_plus",
                attention_dropout=self.attention_dropout_rate,
                kernel_initializer=self.initializer,
                name=name,
            )

        return self.apply_residual(inputs, gated_attention, self.block_name(index, "GatedAttentionUnit"))
