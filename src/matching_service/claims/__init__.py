"""Claims (揭榜): offers to solve a demand on the list, judged on score sheets (评榜), of which one is chosen."""
