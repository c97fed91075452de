"""Runs an embedded Postgres and Valkey on machines that have neither."""
