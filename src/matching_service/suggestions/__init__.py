"""Suggestions: profiles proposed for demands, from the proposal to an agreement or a refusal."""
