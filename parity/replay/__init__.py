"""Red cells made small: replays that need no harness, and fingerprints that say what a difference looks like.

`definitions` computes each kind of layer in NumPy, and `trace` reads the calls of a model. `diagnose` compares both
with the golden and tries the `hypotheses`. `reduce` makes the model small while it stays red, `folder` writes it.
"""
