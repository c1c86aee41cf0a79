"""Optimizers that step a few variables with the gradients of the reference."""
