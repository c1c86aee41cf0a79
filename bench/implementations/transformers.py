"""transformers on PyTorch, with SDPA if a model has it.

The mode "compiled" is torch.compile; "generate" uses its cache of keys and values.
"""

import torch
import transformers

from bench.implementations import Unsupported
from bench.implementations.torch_functions import arrays, ready, to_device  # noqa: F401
from bench.implementations.transformers_names import parameters
from bench.scenarios import CALL, COMPILED, GENERATE, LABELS, RATE, TRAIN
from bench.weights import random_arrays

FORMAT, CHECK = "transformers", CALL
NOT_OURS = ("pooler", "embed_positions")  # parameters that are unused here, or a fixed table


def family(scenario):
    model = scenario.arguments.get("model", "bert")
    if model == "nezha":
        raise Unsupported("transformers has no NEZHA any more")
    if scenario.arguments.get("application") == "unilm":
        raise Unsupported("transformers has no UniLM")
    return "t5" if model.startswith("t5") else model


def configuration(scenario):
    """The configuration with which transformers computes the same as the reference."""
    sizes, kind = scenario.release.config, family(scenario)
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
    if "with_nsp" in scenario.arguments:
        return transformers.BertForNextSentencePrediction
    if family(scenario) == "bert":
        return transformers.BertModel
    if family(scenario) == "t5" and not scenario.new_tokens:
        return transformers.T5EncoderModel
    return whole_model(scenario)


def convert(scenario, folder):
    """Write the weights. Raises ValueError if a parameter has no variable."""
    kind = family(scenario)
    model = whole_model(scenario)(configuration(scenario))
    found = parameters(kind, random_arrays(scenario.release))
    missing = {name for name, _ in model.named_parameters()} - set(found)
    missing = [name for name in sorted(missing) if not any(part in name for part in NOT_OURS)]
    if missing:
        raise ValueError(f"no variable for the parameters {missing[:5]}")
    with torch.no_grad():
        for name, one in model.named_parameters():
            if name in found:
                one.copy_(torch.tensor(found[name]))
    model.save_pretrained(str(folder / "model"))


def load(scenario, folder):
    kind = measured_model(scenario)
    attention = "sdpa" if kind._supports_sdpa else "eager"  # RoFormer has no other
    model = kind.from_pretrained(str(folder / "model"), attn_implementation=attention, dtype=torch.float32)
    return to_device(model.eval())


def settings(model):
    return {"attention": model.config._attn_implementation}


def feed(model, mode, inputs):
    names = ("input_ids", "token_type_ids")
    values = {name: to_device(torch.tensor(value, dtype=torch.long)) for name, value in zip(names, inputs)}
    values["attention_mask"] = (values["input_ids"] != 0).long()
    return values


def function(model, scenario, mode):
    if mode == GENERATE:
        return generate(model, scenario)
    if mode == TRAIN:
        return train(model)
    if mode not in (CALL, COMPILED):
        raise Unsupported("transformers has no predict")
    base = model.bert if "with_nsp" in scenario.arguments else model
    called = torch.compile(base) if mode == COMPILED else base
    return ready(lambda feed: [called(**feed).last_hidden_state])


def generate(model, scenario):
    def run(feed):
        ids = model.generate(**feed, max_new_tokens=scenario.new_tokens, do_sample=False, pad_token_id=0)
        return [ids[:, -scenario.new_tokens :]]

    return ready(run)


def train(model):
    """One step of SGD on the next-sentence head, whose outputs stand in the order of the checkpoint."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    labels = to_device(torch.tensor(LABELS))

    def step(feed):
        optimizer.zero_grad()
        loss = model(**feed, labels=labels).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
