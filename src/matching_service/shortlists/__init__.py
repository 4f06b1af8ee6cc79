"""The stored lists of demands: what people see, what they decided, what changed and why."""
