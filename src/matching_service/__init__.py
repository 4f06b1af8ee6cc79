"""Matches enterprises' technical demands with the people and results that can solve them."""

__version__ = "0.1.0"
