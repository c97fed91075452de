"""Venues as the engine uses them: which are installed, asking them for quotes, ranking the answers."""
