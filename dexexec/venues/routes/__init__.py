"""Swaps over several pools in one transaction: divided among them, or through a third token."""
