"""Group commit and cancellation, for every room."""
