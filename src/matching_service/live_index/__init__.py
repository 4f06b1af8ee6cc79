"""Keep the index up to date with the database: documents from rows, their vectors, snapshots that follow the outbox."""
