"""From a text to its terms. Pure: strings in, counts and offsets out; no database, no HTTP."""
