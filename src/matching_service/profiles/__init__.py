"""Capability profiles: the suppliers, described by their own text and by their works."""
