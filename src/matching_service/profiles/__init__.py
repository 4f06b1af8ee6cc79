"""Capability profiles: who can solve something, described by their own text and by their works."""
