"""The lowest layer: settings, errors, clock, paging, logs, metrics and regions. It imports no other package of ours."""
