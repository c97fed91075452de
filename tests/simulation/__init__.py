"""A deterministic simulation of the whole engine: one seed is one story, and tells it the same way each time."""
