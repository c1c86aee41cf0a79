"""The systems: released checkpoints, the cases computed from them, their goldens, records and verdicts."""
