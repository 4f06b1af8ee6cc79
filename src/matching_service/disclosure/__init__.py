"""Disclosure: which fields of a record each audience may see, and under which names."""
