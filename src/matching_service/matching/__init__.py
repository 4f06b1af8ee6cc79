"""Answer match requests: from a request to a ranking question, and from its ranking to an answer."""
