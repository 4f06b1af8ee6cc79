"""Suggestions: profiles proposed for demands, from the first contact to an agreement or a refusal."""
