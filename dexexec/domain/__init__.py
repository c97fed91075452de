"""Plain values and pure functions: orders, quotes, events, amounts. No I/O, and no imports of other rooms."""
