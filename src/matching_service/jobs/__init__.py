"""Jobs that a scheduler or an operator starts."""
