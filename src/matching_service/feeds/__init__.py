"""The pull feed, and the import of another city's feed."""
