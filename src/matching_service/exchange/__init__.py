"""Files in and out: JSON Lines, CSV and XLSX, in the encodings that offices have."""
