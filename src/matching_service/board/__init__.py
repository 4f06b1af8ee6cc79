"""The bounty list (张榜): open demands that everybody may read, without what is confidential."""
