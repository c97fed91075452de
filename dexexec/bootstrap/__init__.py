"""Puts the parts together and starts them: the only room that knows all others."""
