"""From a query and an index to ranked, explained profiles. Pure: the same input gives the same output."""
