"""How good is a ranking? Measures over judged pairs. Pure: grades and scores in, numbers out."""
