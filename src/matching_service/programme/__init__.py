"""The programme: records of the results that the city's plan promises, and its targets, counted from records."""
