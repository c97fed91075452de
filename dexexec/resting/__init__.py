"""Orders that rest in Postgres until a price, a time or a launch: who watches for it, and what wakes them."""
