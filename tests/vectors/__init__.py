"""Recorded swaps of the real programs, and the reader of their accounts. See README.md."""
