"""Authentication and authorization: principals, their API keys and roles, and one policy per action."""
