"""The pull feed, and the import of feeds from other services."""
