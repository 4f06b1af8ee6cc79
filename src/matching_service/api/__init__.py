"""Doors that all routes share: sessions, permissions, errors, paging, limits. No domain."""
