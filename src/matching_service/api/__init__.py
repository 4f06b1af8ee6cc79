"""HTTP parts that all routes share: sessions, permissions, errors, paging, limits. No domain logic."""
