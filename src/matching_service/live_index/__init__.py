"""Keeps the index in step with the database: rows to documents, vectors, outbox to snapshot."""
