"""What others have published about real weights, against what our library computes from a user's own files.

    python -m parity.user_files.published --pairing jax --weights DIR

The numbers and their sources stand in published.json; what cannot be run says why. A printed number has about eight
digits and comes from another machine: float32 runs of the same weights differ by about 1e-6 (relative rms, seen
between the four producers of one text), the tanh form of GELU for its erf form by 2e-4. The bound lies between.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from pairings import find
from parity.adapter import open_library
from parity.models.cases import add_case_arguments, chosen_cases
from parity.store import USER_FILES, read_json, release_paths, write_json
from parity.subsample import rms

BOUND = 1e-5
PUBLISHED = Path(__file__).with_name("published.json")


def check(library, case, row):
    """(what was measured, why it is red or None) of one published row."""
    vocabulary = release_paths(case.checkpoint)[0].parent / "vocab.txt"
    if not vocabulary.exists():
        return "", f"{vocabulary} is not there"
    arguments = dict(row["arguments"])
    if row.get("cased_tokens"):
        tokens, arguments["compound_tokens"] = cased_vocabulary(library.load_vocab(str(vocabulary)))
        tokenizer = library.Tokenizer(tokens, do_lower_case=False)
    else:
        tokenizer = library.Tokenizer(str(vocabulary), do_lower_case=True)
    ids = encode(tokenizer, row["text"])
    if "tokens" in row and tokenizer.ids_to_tokens(ids) != row["tokens"]:
        return "", "tokens are {}, published are {}".format(tokenizer.ids_to_tokens(ids), row["tokens"])
    output = predict(library, case, arguments, ids)  # (length, hidden size or vocabulary)
    if row["kind"] == "hidden_states":
        return check_hidden_states(output, row)
    masks = [i for i, token in enumerate(ids) if token == mask_id(tokenizer)]
    return check_masked(tokenizer, output[masks], row)


def cased_vocabulary(tokens):
    """An uncased vocabulary with cased words behind it, and the compound tokens that embed them as the uncased."""
    tokens, compound = dict(tokens), []
    for token, number in sorted(tokens.items(), key=lambda item: item[1]):
        forms = [token[:1].upper() + token[1:]] if token.isalpha() else []
        forms += [token.upper()] if token.isalpha() or token[:2] == "##" and token[2:].isalpha() else []
        for form in forms:
            if form not in tokens:
                tokens[form] = len(tokens)
                compound.append([number])
    return tokens, compound


def encode(tokenizer, text):
    """Ids of a text in which [MASK] is a token."""
    ids = [tokenizer._token_start_id]
    for piece in re.split(r"(\[MASK\])", text):
        ids += [mask_id(tokenizer)] if piece == "[MASK]" else tokenizer.encode(piece)[0][1:-1]
    return ids + [tokenizer._token_end_id]


def mask_id(tokenizer):
    return tokenizer.token_to_id("[MASK]")


def predict(library, case, arguments, ids):
    config, checkpoint = release_paths(case.checkpoint)
    model = library.build_transformer_model(str(config), str(checkpoint), **arguments)
    values = [np.array([ids]), np.zeros((1, len(ids)), "int32")][: len(model.inputs)]
    output = model.predict(values if len(values) > 1 else values[0], verbose=0)
    library.K.clear_session()
    return np.asarray(output)[0]


def check_hidden_states(output, row):
    rows = row.get("rows", list(range(len(output))))
    expected = np.array(row["expected"])
    found = output[np.ix_(rows, row["channels"])]
    if found.shape != expected.shape:
        return "", f"{found.shape[0]} tokens, published are {expected.shape[0]}"
    error = rms([found - expected]) / rms([expected])
    text = f"relative rms {error:.1e}"
    return text, None if error <= BOUND else f"{text}, at most {BOUND:g}"


def check_masked(tokenizer, probabilities, row):
    best = [list(np.argsort(-one)[: len(tokens)]) for one, tokens in zip(probabilities, row["expected"])]
    found = [tokenizer.ids_to_tokens(ids) for ids in best]
    if found != row["expected"]:
        return "", "best tokens are {}, published are {}".format(found, row["expected"])
    for one, ids, published in zip(probabilities, best, row.get("probabilities", [])):
        if not np.allclose(one[ids], published, rtol=0, atol=6e-5):  # printed with four digits
            return "", f"probabilities are {one[ids].round(4).tolist()}, published are {published}"
    return "tokens agree", None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairing", required=True)
    add_case_arguments(parser)
    options = parser.parse_args()
    library = open_library(find(options.pairing).library)
    results = []
    for case in chosen_cases(options):
        folder = Path(case.user_checkpoint.folder).name
        for row in (one for one in read_json(PUBLISHED) if one["folder"] == folder):
            told = ("text", "producer", "source", "not_run")
            result = {"case": case.name, **{name: row[name] for name in told if name in row}}
            if "not_run" not in row:
                try:
                    result["measured"], result["red"] = check(library, case, row)
                except Exception as error:
                    result["red"] = f"{type(error).__name__}: {error}"
            results.append(result)
    write_json(USER_FILES / "published" / (options.pairing + ".json"), results)


if __name__ == "__main__":
    main()
