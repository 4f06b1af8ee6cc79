"""Match runs over many demands: start, rank in chunks, resume, cancel, finish."""
