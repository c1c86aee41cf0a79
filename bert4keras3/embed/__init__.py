"""`python -m bert4keras3.embed`: vectors of a file of texts, in one process, in several, or on Ray."""
