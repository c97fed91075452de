"""Group commit, and cancelling tasks: helpers for every room."""
