"""Webhooks: subscriptions, their queue of deliveries, the sender."""
