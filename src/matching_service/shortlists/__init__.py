"""The stored lists of demands: the visible list, decisions of staff, changes and their causes."""
