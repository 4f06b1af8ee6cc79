"""What others are shown of a record, and under which field names."""
