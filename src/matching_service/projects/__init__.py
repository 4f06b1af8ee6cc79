"""Projects (核心技术攻关项目库): what a contracted demand becomes, until it is accepted and closed."""
