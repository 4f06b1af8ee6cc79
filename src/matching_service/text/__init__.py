"""Turn a text into terms. Pure: strings in, counts and offsets out; no database, no HTTP."""
