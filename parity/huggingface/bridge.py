"""The bridge: TensorFlow checkpoint → `save_pretrained` → transformers, judged by the goldens of bert4keras.

    python -m parity.huggingface.bridge [--case NAME]     in an environment with transformers and Keras on PyTorch

Printed for each case: the class of transformers and its error ratio, or why the model cannot be expressed there.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
import transformers

from parity.adapter import input_name, listed, open_library
from parity.compare import BOUND, rank
from parity.models.build import build_case, case_weights, load_case
from parity.models.cases import CASES
from parity.models.compare import error_ratio, read_golden
from parity.store import golden_folder
from parity.subsample import sample_arrays

# {layer of ours with an output: where the outputs of transformers have it}
LOGITS = ("prediction_logits", "logits")
HEADS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("MLM-Activation", "LM-Activation", "Decoder-Output-LM", "Decoder-Output-LM-Activation"), LOGITS
)
HEADS["NSP-Proba"] = ("seq_relationship_logits", "sop_logits", "logits")
HEADS["Discriminator-Prediction"] = ("logits",)


def answer(layer, loaded, outputs):
    """What transformers computes where a layer of ours has its output, with the layer's activation."""
    name = layer.name.rpartition("Left-")[-1]
    if name == "Pooler-Dense":  # theirs has tanh, or stands behind a head that does not return it
        pooler = getattr(loaded, loaded.base_model_prefix, loaded).pooler
        value = getattr(pooler, "dense", pooler)(outputs.hidden_states[-1][:, 0])
    elif name in HEADS:
        found = (getattr(outputs, one, None) for one in HEADS[name])
        value = next(one for one in found if one is not None)
        value = value[..., None] if name == "Discriminator-Prediction" else value
    else:
        hidden = getattr(outputs, "last_hidden_state", None)
        return outputs.hidden_states[-1] if hidden is None else hidden
    activation = getattr(layer.activation, "__name__", "linear")
    return {"linear": lambda x: x, "softmax": lambda x: x.softmax(-1)}.get(
        activation, getattr(torch, activation, None)
    )(value)


def arguments(model, values):
    """Keyword arguments of transformers for our inputs, by their names."""
    found = {}
    for x, value in zip(model.inputs, values):
        name, ids = input_name(x), torch.tensor(value).long()
        if name.endswith("Input-Segment"):
            found["token_type_ids"] = ids
        elif name.endswith("Input-Position"):
            found["position_ids"] = ids
        elif name.endswith("Decoder-Input-Token"):
            found.update(decoder_input_ids=ids, decoder_attention_mask=mask_of(ids))
        else:
            found.update(input_ids=ids, attention_mask=mask_of(ids))
    return found


def unilm_mask(segments, ids):
    """UniLM's mask for the eager attention of transformers: (batch, 1, from, to), 0 or the lowest number."""
    ends = segments.cumsum(1)
    seen = (ends[:, None, :] <= ends[:, :, None]) & (mask_of(ids)[:, None, :] > 0)
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[:, None]


def mask_of(ids):
    mask = (ids != 0).long()
    mask[:, 0] = 1  # as in our models, which never mask the first token
    return mask


def cross(case, library):
    """(name of the class, error ratio) of a case; ValueError if transformers has no such model."""
    golden, metadata = read_golden(case, golden_folder(case))
    transformer, model = build_case(library, case)
    load_case(transformer, case, case_weights(case))
    with tempfile.TemporaryDirectory() as folder:
        transformer.save_pretrained(folder)
        kind = transformers.AutoConfig.from_pretrained(folder).architectures[0]
        loaded = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager").eval()
    is_unilm = transformer.mask_kind == "UniLM"
    record, whats = {}, [f"output/{i}" for i in range(len(model.outputs))]
    if getattr(getattr(transformer, "_decoder", None), "cross_position_bias", False):
        whats = ["layer/Encoder-Output-Norm"]  # their decoder has no such bias
    for length in case.lengths:
        values = [golden[f"{length}/input/{i}"] for i in range(len(model.inputs))]
        with torch.no_grad():
            feed = arguments(model, values)
            if is_unilm:
                feed["attention_mask"] = unilm_mask(feed["token_type_ids"], feed["input_ids"])
            outputs = loaded(**feed, output_hidden_states=True)
        if whats[0].startswith("layer"):
            record[f"{length}/{whats[0]}"] = outputs.encoder_last_hidden_state.numpy()
        for i, output in enumerate(listed(model.outputs)):
            layer = output._keras_history[0]
            record[f"{length}/output/{i}"] = answer(layer, loaded, outputs).detach().numpy()
    record = sample_arrays(record)
    return kind, max((error_ratio(golden, metadata, record, what) for what in whats), key=rank)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append")
    options = parser.parse_args()
    library, systems = open_library("bert4keras3"), {}
    for case in CASES:
        if case.slow or case.build != "plain" or (options.case and case.name not in options.case):
            continue
        try:
            kind, ratio = cross(case, library)
            print(f"{case.name}: {kind}, error ratio {ratio:.2f}", flush=True)
            if ratio <= BOUND:
                systems.setdefault(case.system, []).append(case.name)
        except Exception as error:
            print(f"{case.name}: {type(error).__name__}: {error}".splitlines()[0], flush=True)
    print(f"{len(systems)} systems cross: {', '.join(sorted(systems))}")


if __name__ == "__main__":
    main()
