"""Folders that transformers writes, and what transformers computes from them, in one file.

python -m parity.huggingface.golden          in the environment `transformers` (transformers 5)
python -m parity.huggingface.golden nezha    with transformers 4.41, the last that has NEZHA

All weights are random, norms and biases too, and representable in bfloat16, so that the file is small.
Embeddings of another size than the hidden states have more numbers: a norm over four numbers made gradients so
sensitive that one rounding was 10 times another.
"""

import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from parity.huggingface.compare import HUGGING_FACE, error, fullest
from parity.models.training import targets_and_importances
from parity.subsample import GRADIENT_SAMPLE, rms, sample

ROWS, LENGTH = 8, 7  # fewer rows would tell the noise of transformers badly
SIZES = np.arange(ROWS) % (LENGTH - 2) + 3


def random_ids(padding, length=LENGTH):
    """Token ids (ROWS, length), with padding behind the first SIZES."""
    ids = np.random.RandomState(22).randint(2, 20, (ROWS, length))
    return np.where(np.arange(length) < SIZES[::-1, None], ids, padding)


IDS, ROBERTA_IDS = random_ids(0), random_ids(1)
SEGMENTS = np.where(IDS > 0, np.arange(LENGTH) * 2 >= SIZES[::-1, None], 0)
DECODER_IDS = np.concatenate([np.zeros((ROWS, 1), int), random_ids(2, 3)], axis=1)
PRECISIONS = (torch.float32, torch.float64)
BERT = dict(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=10,
)
GPT = dict(vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=9)
T5 = dict(
    vocab_size=20,
    d_model=8,
    d_kv=6,
    d_ff=8,
    num_layers=2,
    num_heads=2,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=5,
)


class Case(NamedTuple):
    """One folder. `answers`: for each model of ours its arguments, and from the outputs of transformers the same."""

    model: str
    config: dict
    answers: list
    ids: Any = IDS
    more: dict = {}


def softmax(x):
    return torch.softmax(x, -1)


def logits(y):
    return [y.logits]


def hidden(y):
    return [y.last_hidden_state]


def both(y):
    return [softmax(y.seq_relationship_logits), y.prediction_logits]


MLM, SEGMENTED, DECODED = (
    {"with_mlm": "linear"},
    {"token_type_ids": SEGMENTS},
    {"decoder_input_ids": DECODER_IDS},
)
CASES = {
    "bert-pretraining": Case(
        "BertForPreTraining",
        dict(BERT, layer_norm_eps=1e-3, hidden_act="gelu_new"),
        [(dict(MLM, with_nsp=True), both)],
        more=SEGMENTED,
    ),
    "bert-model": Case(
        "BertModel", BERT, [({}, hidden), ({"with_pool": True}, lambda y: [y.pooler_output])], more=SEGMENTED
    ),
    "bert-lm": Case(
        "BertLMHeadModel",
        dict(BERT, is_decoder=True),
        [(dict(MLM, application="lm"), logits)],
        more=SEGMENTED,
    ),
    "ernie": Case("ErnieModel", dict(BERT, num_hidden_layers=1), [({}, hidden)], more=SEGMENTED),
    "distilbert": Case(
        "DistilBertForMaskedLM",
        dict(vocab_size=20, dim=8, n_layers=2, n_heads=2, hidden_dim=12, max_position_embeddings=10),
        [(MLM, logits), ({}, lambda y: [y.hidden_states[-1]])],
    ),
    "albert": Case(
        "AlbertForPreTraining",
        dict(BERT, embedding_size=12, layer_norm_eps=1e-3),
        [(dict(MLM, with_nsp=True), lambda y: [softmax(y.sop_logits), y.prediction_logits])],
        more=SEGMENTED,
    ),
    "electra": Case(
        "ElectraForPreTraining",
        dict(BERT, embedding_size=12),
        [({"with_discriminator": "linear"}, lambda y: [y.logits[..., None]])],
        more=SEGMENTED,
    ),
    "electra-generator": Case(
        "ElectraForMaskedLM", dict(BERT, embedding_size=12), [(MLM, logits)], more=SEGMENTED
    ),
    "roformer": Case("RoFormerForMaskedLM", dict(BERT, embedding_size=12), [(MLM, logits)], more=SEGMENTED),
    "nezha": Case("NezhaForPreTraining", BERT, [(dict(MLM, with_nsp=True), both)], more=SEGMENTED),
    "roberta": Case(
        "RobertaForMaskedLM",
        dict(BERT, type_vocab_size=1, layer_norm_eps=1e-5),
        [(MLM, logits), ({}, lambda y: [y.hidden_states[-1]])],
        ROBERTA_IDS,
    ),
    "xlm-roberta": Case(
        "XLMRobertaModel",
        dict(BERT, type_vocab_size=1, num_hidden_layers=1),
        [({"with_pool": True}, lambda y: [y.pooler_output])],
        ROBERTA_IDS,
    ),
    "gpt2": Case(
        "GPT2LMHeadModel", dict(GPT, layer_norm_epsilon=1e-3), [({"final_activation": "linear"}, logits)]
    ),
    "openai-gpt": Case(
        "OpenAIGPTLMHeadModel",
        GPT,
        [
            (
                {"final_activation": "linear", "segment_vocab_size": 20, "shared_segment_embeddings": True},
                logits,
            )
        ],
        more={"token_type_ids": SEGMENTS + 14},
    ),
    "t5": Case(
        "T5ForConditionalGeneration",
        dict(T5, relative_attention_num_buckets=32, relative_attention_max_distance=128),
        [({"with_lm": "linear"}, logits)],
        more=DECODED,
    ),
    "t5.1.1": Case(
        "T5ForConditionalGeneration",
        dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        [({"with_lm": "linear"}, logits)],
        more=DECODED,
    ),
    "t5-encoder": Case("T5EncoderModel", dict(T5, feed_forward_proj="gated-silu"), [({}, hidden)]),
    "mt5": Case("MT5ForConditionalGeneration", T5, [({"with_lm": "linear"}, logits)], more=DECODED),
    "umt5": Case("UMT5ForConditionalGeneration", T5, [({"with_lm": "linear"}, logits)], more=DECODED),
}


def fill(model):
    """Random weights; each array has its own scale."""
    torch.manual_seed(22)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            center = float(parameter.ndim == 1 and name.endswith("weight"))
            if parameter.requires_grad:  # RoFormer's sines are fixed
                parameter.copy_((center + 0.4 * torch.randn_like(parameter)).bfloat16())


def make(case):
    kind = getattr(transformers, case.model)
    model = kind(kind.config_class(**dict(case.config, attn_implementation="eager"))).eval()
    if case.config.get("feed_forward_proj") and hasattr(model, "lm_head"):
        model.lm_head.weight = torch.nn.Parameter(
            model.lm_head.weight.clone()
        )  # T5.1.1 has a table of its own
    fill(model)
    return model


def padding_of(model):
    """Id of the padding."""
    return model.config.pad_token_id or 0


def call(model, case, dtype):
    ids = torch.tensor(case.ids)
    inputs = {name: torch.tensor(value) for name, value in case.more.items()}
    mask = (ids != padding_of(model)).long()
    return model.to(dtype)(input_ids=ids, attention_mask=mask, output_hidden_states=True, **inputs)


def gradients(model, case, select, dtype):
    """{parameter: its gradient}, of the loss that `parity.models.training` has; without dropout."""
    outputs = select(call(model, case, dtype))
    shapes = [tuple(one.shape) for one in outputs]
    targets, importances = targets_and_importances(shapes, case.ids != padding_of(model))
    loss = sum(
        (torch.tensor(importance) * (output - torch.tensor(target)) ** 2).sum()
        for output, target, importance in zip(outputs, targets, importances)
    )
    model.zero_grad()
    (loss / len(case.ids)).backward()
    named = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return {name: sample(gradient.numpy(), GRADIENT_SAMPLE) for name, gradient in named.items()}


def record(name, case, archive):
    """Write the folder and what transformers computes into the archive."""
    model, arrays = make(case), {}
    inputs = [case.ids, *case.more.values()]
    arrays.update({f"input/{i}": value for i, value in enumerate(inputs)})
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        if name == "bert-model":
            state = model.state_dict()
            torch.save({key: one.half() for key, one in state.items()}, f"{folder}/zip.bin")
            transposed = {key: one.bfloat16().t().contiguous().t() for key, one in state.items()}
            torch.save(transposed, f"{folder}/legacy.bin", _use_new_zipfile_serialization=False)
        files = {f"{name}/{path.name}": path.read_bytes() for path in sorted(Path(folder).iterdir())}
    with torch.no_grad():
        outputs = [call(model, case, dtype) for dtype in PRECISIONS]
    _, select = case.answers[fullest(case.answers)]
    single, double = (gradients(model, case, select, dtype) for dtype in PRECISIONS)
    for parameter, exact in double.items():
        noise = rms([single[parameter] - exact])
        arrays.update({f"gradient/{parameter}": exact, f"gradient/{parameter}@noise": noise})
    for i, (_, select) in enumerate(case.answers):
        single, double = ([value.numpy() for value in select(one)] for one in outputs)
        noise = error(single, double, case.ids != padding_of(model))
        arrays.update({f"noise/{i}": noise, **{f"exact/{i}/{j}": value for j, value in enumerate(double)}})
    info = {
        "answers": [arguments for arguments, _ in case.answers],
        "padding": padding_of(model),
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    files.update({f"{name}/golden.npz": buffer.getvalue(), f"{name}/golden.json": json.dumps(info).encode()})
    for path, content in files.items():
        if "generation_config" not in path:
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED, 9)


def main():
    chosen = sys.argv[1:] or [name for name, case in CASES.items() if hasattr(transformers, case.model)]
    kept = {}
    if HUGGING_FACE.exists():
        with zipfile.ZipFile(HUGGING_FACE) as archive:
            kept = {
                path: archive.read(path) for path in archive.namelist() if path.split("/")[0] not in chosen
            }
    with zipfile.ZipFile(HUGGING_FACE, "w") as archive:
        for path, content in kept.items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED, 9)
        for name in chosen:
            record(name, CASES[name], archive)


if __name__ == "__main__":
    main()
