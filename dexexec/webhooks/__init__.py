"""Sends events to the addresses of clients, each at least once, in order per order (docs/WEBHOOKS.md)."""
