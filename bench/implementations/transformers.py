"""transformers on PyTorch, with SDPA if a model has it.

The mode "compiled" is torch.compile; "generate" uses its cache of keys and values.
"""

import torch
import transformers

from bench.implementations import Unsupported
from bench.implementations.adapter import Adapter
from bench.implementations.torch_functions import arrays, ready, to_device
from bench.implementations.transformers_names import parameters
from bench.scenarios import CALL, COMPILED, GENERATE, LABELS, RATE, TRAIN
from bench.weights import iterate_weights

NOT_OURS = ("pooler", "embed_positions", "cls.")  # parameters that are unused here, or a fixed table
FAMILIES = {"roberta": "bert", "t5.1.0_encoder": "t5", "t5.1.0": "t5"}
HEADS = ("with_pool", "with_nsp", "with_mlm")


def family(scenario):
    model = scenario.arguments.get("model", "bert")
    if model == "nezha":
        raise Unsupported("transformers has no NEZHA any more")
    if scenario.arguments.get("application") == "unilm":
        raise Unsupported("transformers has no UniLM")
    kind = FAMILIES.get(model, model)
    if kind not in ("bert", "albert", "roformer", "gpt2", "t5"):
        raise Unsupported(f"of transformers, BERT, ALBERT, RoFormer, GPT-2 and T5 are compared, not {model}")
    return kind


def check_supported(scenario):
    """Raise Unsupported for arguments and sizes that transformers does not have, or that nobody compares."""
    kind, config = family(scenario), scenario.config
    others = set(scenario.arguments) - {"model", "dropout_rate", "attention_dropout_rate"}
    if kind == "bert":
        others -= set(HEADS)
    if kind == "t5" and scenario.new_tokens:
        others -= {"cross_position_bias"}
    if others:
        raise Unsupported(f"no model of transformers here for {', '.join(sorted(others))}")
    if kind in ("gpt2", "t5") and not (
        scenario.new_tokens or scenario.arguments["model"].endswith("encoder")
    ):
        raise Unsupported("decoders are compared by what they generate, in the bench")
    if kind in ("bert", "roformer") and "embedding_size" in config or "attention_key_size" in config:
        raise Unsupported(f"the {kind} of transformers has no embedding_size and no attention_key_size")


def configuration(scenario):
    """The configuration with which transformers computes the same as the reference."""
    sizes, kind = scenario.config, family(scenario)
    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=sizes["vocab_size"],
            n_positions=sizes["max_position_embeddings"],
            n_embd=sizes["hidden_size"],
            n_layer=sizes["num_hidden_layers"],
            n_head=sizes["num_attention_heads"],
            n_inner=sizes["intermediate_size"],
            activation_function="gelu",  # the erf form
            layer_norm_epsilon=1e-5,
            bos_token_id=None,
            eos_token_id=None,
        )
    if kind == "t5":
        return transformers.T5Config(
            vocab_size=sizes["vocab_size"],
            d_model=sizes["hidden_size"],
            d_kv=sizes["attention_head_size"],
            d_ff=sizes["intermediate_size"],
            num_layers=sizes["num_hidden_layers"],
            num_heads=sizes["num_attention_heads"],
            feed_forward_proj=sizes["hidden_act"],
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=None,
        )
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    names += ("max_position_embeddings", "type_vocab_size", "hidden_act", "embedding_size")
    arguments = {name: sizes[name] for name in names if name in sizes}
    arguments.update(layer_norm_eps=1e-12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    name = {"bert": "BertConfig", "albert": "AlbertConfig", "roformer": "RoFormerConfig"}[kind]
    return getattr(transformers, name)(**arguments)


def whole_model(scenario):
    """The class whose parameters are all variables that the scenarios need."""
    return {
        "bert": transformers.BertForPreTraining,
        "albert": transformers.AlbertModel,
        "roformer": transformers.RoFormerModel,
        "gpt2": transformers.GPT2LMHeadModel,
        "t5": transformers.T5ForConditionalGeneration,
    }[family(scenario)]


def measured_model(scenario):
    if TRAIN in scenario.modes:
        return transformers.BertForNextSentencePrediction
    if family(scenario) == "bert":
        has_heads = any(name in scenario.arguments for name in HEADS)
        return transformers.BertForPreTraining if has_heads else transformers.BertModel
    if family(scenario) == "t5" and not scenario.new_tokens:
        return transformers.T5EncoderModel
    return whole_model(scenario)


class Transformers(Adapter):
    FORMAT = "transformers"

    def convert(self, scenario, folder):
        """Write the weights. Raises ValueError if a parameter has no variable."""
        check_supported(scenario)
        model = whole_model(scenario)(configuration(scenario))
        found = parameters(family(scenario), iterate_weights(scenario.release))
        missing = {name for name, _ in model.named_parameters()} - set(found)
        needed = [part for part in NOT_OURS if not heads_need(part, scenario)]
        missing = [name for name in sorted(missing) if not any(part in name for part in needed)]
        if missing:
            raise ValueError(f"no variable for the parameters {missing[:5]}")
        with torch.no_grad():
            for name, one in model.named_parameters():
                if name in found:
                    one.copy_(torch.tensor(found[name]))
        model.save_pretrained(str(folder / "model"))

    def load(self, scenario, folder):
        if scenario.build != "plain":
            raise Unsupported("the mean of the hidden states is sentence-transformers' part")
        self.scenario, kind = scenario, measured_model(scenario)
        attention = "sdpa" if kind._supports_sdpa else "eager"  # RoFormer has no other
        options = dict(attn_implementation=attention, dtype=torch.float32)
        self.model = to_device(kind.from_pretrained(str(folder / "model"), **options).eval())

    def settings(self):
        return {"attention": self.model.config._attn_implementation}

    def feed(self, mode, inputs):
        names = ("input_ids", "token_type_ids")
        values = {
            name: to_device(torch.tensor(value, dtype=torch.long)) for name, value in zip(names, inputs)
        }
        mask = values["attention_mask"] = (values["input_ids"] != 0).long()
        mask[:, 0] = 1  # as in bert4keras, which never masks the first token
        return values

    def arrays(self, outputs):
        return arrays(outputs)

    @property
    def base(self):
        return getattr(self.model, "bert", self.model)

    def function(self, mode):
        if mode == GENERATE:
            return self.generate()
        if mode == TRAIN:
            return self.train()
        if mode not in (CALL, COMPILED):
            raise Unsupported("transformers has no predict")
        called = torch.compile(self.base) if mode == COMPILED else self.base
        heads = isinstance(self.model, transformers.BertForPreTraining)
        return ready(lambda feed: self.heads(called(**feed)) if heads else [called(**feed).last_hidden_state])

    def heads(self, found):
        """Outputs of the heads of BERT, in the order of bert4keras."""
        arguments, hidden, outputs = self.scenario.arguments, found.last_hidden_state, []
        if "with_nsp" in arguments:
            outputs.append(self.model.cls.seq_relationship(found.pooler_output).softmax(-1))
        elif "with_pool" in arguments:
            is_linear = arguments["with_pool"] == "linear"
            outputs.append(self.base.pooler.dense(hidden[:, 0]) if is_linear else found.pooler_output)
        if "with_mlm" in arguments:
            scores = self.model.cls.predictions(hidden)
            outputs.append(scores if arguments["with_mlm"] == "linear" else scores.softmax(-1))
        return outputs

    def layers(self, inputs):
        """Hidden states after the embeddings and after each block, of encoders that are no T5."""
        kind = family(self.scenario)
        if kind not in ("bert", "albert", "roformer"):
            return {}
        with torch.no_grad():
            feed = self.feed(CALL, inputs)
            states = arrays(self.base(**feed, output_hidden_states=True).hidden_states)
        blocks = range(len(states) - 1)
        name = "Transformer-FeedForward-Norm#{}" if kind == "albert" else "Transformer-{}-FeedForward-Norm"
        return {name.format(i).replace("#0", ""): states[i + 1] for i in blocks}

    def generate(self):
        new_tokens = self.scenario.new_tokens

        def run(feed):
            ids = self.model.generate(**feed, max_new_tokens=new_tokens, do_sample=False, pad_token_id=0)
            return [ids[:, -new_tokens:]]

        return ready(run)

    def train(self):
        """One step of SGD on the next-sentence head, whose outputs stand in the order of the checkpoint."""
        self.model.train()
        optimizer = torch.optim.SGD(self.model.parameters(), RATE)
        labels = to_device(torch.tensor(LABELS))

        def step(feed):
            optimizer.zero_grad()
            loss = self.model(**feed, labels=labels).loss
            loss.backward()
            optimizer.step()
            return loss.item()

        return step


def heads_need(part, scenario):
    """Whether a head that is asked for has these parameters."""
    arguments = scenario.arguments
    uses = {"pooler": ("with_pool", "with_nsp"), "cls.": ("with_nsp", "with_mlm")}
    return any(name in arguments for name in uses.get(part, ()))
