"""Claims (揭榜): offers to solve an open demand. Judges score them (评榜) and the office chooses one."""
