"""Signers for tests: scripted ones in this process, and local HTTP servers in the place of signing services."""
