"""Logs: one method per event, sampling, redaction of secrets, cleaning of untrusted text."""
