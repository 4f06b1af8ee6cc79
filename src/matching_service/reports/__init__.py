"""Reports to the city government (信息报送): the figures of one period as a typed value, and files rendered from it."""
