"""Group commit, cancelling tasks, and circuit breakers: helpers for every room."""
