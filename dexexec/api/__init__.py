"""HTTP and WebSocket at the edge: what clients send becomes an order, and what becomes of it is told to them."""
