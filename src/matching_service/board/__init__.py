"""The bounty board (张榜): public open demands, without confidential fields."""
