"""Measure the quality of the ranking on judged pairs in files or in the database; fit the weights."""
