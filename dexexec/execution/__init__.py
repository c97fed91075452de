"""Workers: they claim orders, route and settle them, and write every step."""
