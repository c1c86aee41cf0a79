"""LoRA: an adapter of PEFT, trained by PEFT on transformers and by us."""
