"""Attacks on a running service, and what a normal client notices of them."""
