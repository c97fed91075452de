"""Creates the parts of the service, connects them and runs them. It may import every other package."""
