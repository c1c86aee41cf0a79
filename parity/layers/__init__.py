"""Single layers and backend functions, computed with the weights and inputs of the reference."""
