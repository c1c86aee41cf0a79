"""Folders of Hugging Face: what transformers computes from them, and from ours."""
