"""What bert4keras 0.11.5 computes with its tokenizers and snippets.

In the environment of the reference: `python -m parity.text.golden`. It writes `goldens/tokenizers.json`,
`goldens/snippets.json` and `goldens/snippet_scenarios.json`. `goldens/vocab.txt` has 576 entries of Google's uncased
BERT vocabulary (Apache-2.0), in its order, most of them pieces of the texts, and four Chinese words as WoBERT has them.
"""

import json
import platform
import unicodedata

import numpy as np

from parity.store import GOLDENS
from parity.text.cases import compute_snippet, compute_tokenizer, snippet_cases, tokenizer_cases
from parity.text.snippet_scenarios import SCENARIOS


def main():
    from bert4keras import snippets, tokenizers

    write_golden("tokenizers.json", add_results(compute_tokenizer, tokenizers, tokenizer_cases()))
    write_golden("snippets.json", add_results(compute_snippet, snippets, snippet_cases()))
    scenarios = [{"scenario": name} for name in SCENARIOS]
    write_golden("snippet_scenarios.json", add_results(compute_snippet, snippets, scenarios))


def add_results(compute, module, cases):
    for case in json.loads(json.dumps(list(cases))):
        yield {**case, **compute(module, case)}


def write_golden(name, cases):
    """One case a line, so that a difference between two versions can be read."""
    lines = ",\n".join(json.dumps(case, sort_keys=True, separators=(",", ":")) for case in cases)
    import bert4keras

    provenance = {"bert4keras": bert4keras.__version__, "python": platform.python_version()}
    provenance.update(numpy=np.__version__, unicode=unicodedata.unidata_version)
    provenance = json.dumps(provenance)
    (GOLDENS / name).write_text(f'{{"provenance": {provenance},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
