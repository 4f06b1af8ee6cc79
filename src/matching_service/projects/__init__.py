"""Projects (核心技术攻关项目库): contracted demands, until they are accepted and closed."""
