"""Speed and memory: scenarios (data) × subjects (one adapter a library), measured side by side → rows; see measure.py.

Beside that, programs of their own whose output is kept in `results/`: read_checkpoint.py, tokenize_texts.py.
"""
