"""Who acts and who may do what: principals and their API keys, roles, and one policy per action."""
