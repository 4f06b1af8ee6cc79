"""Subscriptions, their queue and the sender."""
