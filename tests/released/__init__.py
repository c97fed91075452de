"""The contract of the last release (docs/openapi.json, docs/asyncapi.json), and what has changed since."""
