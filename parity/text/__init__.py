"""Tokenizers and snippets, whose results equal those of the reference."""
