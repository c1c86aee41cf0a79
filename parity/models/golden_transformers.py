"""The golden from outside the family: sentence embeddings of the same weights by `transformers` on PyTorch.

python -m parity.models.golden_transformers        in the environment `transformers`
"""

import argparse

import torch
from transformers import BertModel, BertTokenizer

from parity.machine import provenance
from parity.models import inputs
from parity.models.cases import add_case_arguments, chosen_cases
from parity.models.golden import write_golden
from parity.store import MINILM, MINILM_FOLDER


def encode(sentence, maxlen):
    tokenizer = BertTokenizer(str(MINILM / "vocab.txt"), do_lower_case=True)
    ids = tokenizer(sentence, truncation=True, max_length=maxlen)["input_ids"]
    return ids, [0] * len(ids)


def embeddings(model, tokens):
    """Mean of the last hidden states over the tokens that are no padding: (batch, hidden_size)."""
    ids = torch.tensor(tokens.astype("int64"))
    mask = (ids != 0).to(model.dtype)
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    return ((hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_case_arguments(parser)
    for case in chosen_cases(parser.parse_args()):
        if case.oracle != "transformers":
            continue
        results = []
        for precision in (torch.float32, torch.float64):
            model = BertModel.from_pretrained(str(MINILM_FOLDER), dtype=precision).eval()
            arrays = {}
            for length in case.lengths:
                values = inputs.real_sentences(encode, length)
                arrays.update({f"{length}/input/{i}": value for i, value in enumerate(values)})
                arrays[f"{length}/output/0"] = embeddings(model, values[0])
            results.append(arrays)
        info = {"layers": [], "model_layers": [], "token_input": 0}
        write_golden(case, *results, info, provenance("transformers"))


if __name__ == "__main__":
    main()
