"""Measure the quality of a ranking on judged pairs. Pure: grades and scores in, numbers out."""
