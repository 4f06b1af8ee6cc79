"""The programme: records of what the city's plan is about, and its targets counted from records."""
