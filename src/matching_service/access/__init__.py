"""Who may do what: API keys, roles, and one policy per action."""
