"""Names of the cases whose texts are packed."""

# Every family, every kind of position and every mask.
NAMES = (
    "bert-nsp-mlm",
    "bert-lm",
    "bert-unilm-pool",
    "bert-hierarchical-position",
    "bert-residual-scores",
    "albert-heads",
    "nezha-heads",
    "nezha-far",
    "nezha-lm",
    "electra-discriminator",
    "roformer",
    "roformer-sim",
    "roformer-v2-mlm",
    "gau-alpha-mlm",
    "cdial-gpt",
    "gpt2-ml",
    "cpm-lm",
    "t5-encoder",
    "t5-1-1-encoder",
)
