"""The localnet's JSON-RPC and WebSocket server, with the answers of an Agave node."""
