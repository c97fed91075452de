"""The venue `jupiter`: routes of Jupiter's swap API, through its aggregator program."""
