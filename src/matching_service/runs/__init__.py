"""Runs over many demands: started, worked off in chunks, resumed, cancelled, finished."""
