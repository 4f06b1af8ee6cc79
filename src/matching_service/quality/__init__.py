"""How good the ranking is, measured on judged pairs in files or in the database; fitting of the weights."""
