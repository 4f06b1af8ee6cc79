"""Where the two wings meet: rows become passages, rankings become answers and stored lists."""
