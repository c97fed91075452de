"""The benchmark's load client: a separate process that posts orders and times the answers."""
