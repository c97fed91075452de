"""The engine's side of venues: loading adapters, collecting their quotes, checking and ranking them."""
