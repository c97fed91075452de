"""Plain values and pure functions: what an order, a quote and an event are. No await, no I/O, no import of the rest."""
