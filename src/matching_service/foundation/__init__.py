"""Ground floor: settings, errors, clock, paging, logs and metrics. Knows nothing of the domain."""
