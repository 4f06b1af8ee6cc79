"""Who may be proposed for a demand, and what the programme knows of a profile's record."""
