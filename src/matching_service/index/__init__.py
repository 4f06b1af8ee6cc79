"""Searchable passages in memory: immutable, exact, rebuilt or changed by making a new one. Pure."""
