"""The audit log: append-only rows, written in the same transaction as the action."""
