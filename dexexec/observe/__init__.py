"""Logging: one method per event, sampling, redaction of secrets, and sanitizing of untrusted text."""
