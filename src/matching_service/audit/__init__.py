"""Who did what: rows that are written with the work itself and never changed."""
