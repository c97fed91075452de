"""The localnet's JSON-RPC and WebSocket server."""
