"""Searchable passages in memory: immutable and exact. A change makes a new index. Pure."""
