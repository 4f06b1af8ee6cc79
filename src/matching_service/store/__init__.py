"""The database: connections and transactions, one file of tables per room, the outbox, the migrations."""
