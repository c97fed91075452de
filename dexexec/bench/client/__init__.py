"""The load client of the bench: a process of its own that posts orders and measures answers."""
