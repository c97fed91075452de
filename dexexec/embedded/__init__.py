"""Embedded Postgres and Valkey, for a machine that has neither."""
