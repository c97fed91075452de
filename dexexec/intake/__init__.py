"""How a new order gets in: its body is read, capacity is checked, it is stored and queued."""
