"""Files in and out: JSON Lines, CSV and XLSX, by their headings."""
