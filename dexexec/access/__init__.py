"""Who may use the service: the API keys that one process accepts."""
