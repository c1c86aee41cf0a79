"""What is there for speed alone. `plain.py` defines each function; docs/accelerate.md says what a path gains."""
