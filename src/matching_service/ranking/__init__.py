"""From a query and a snapshot to ranked, explained profiles. Pure: the same input gives the same output."""
