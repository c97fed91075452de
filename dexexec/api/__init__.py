"""HTTP and WebSocket: accepts orders from clients, and returns and streams what happens to them."""
