"""A user's own released files: which system each checkpoint is, and what others published about it."""
