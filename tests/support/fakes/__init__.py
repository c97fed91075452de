"""Postgres and Redis in memory, as far as the store and the queue need them. Each keeps the contract of the real one:
in `tests/contract`, the files `test_store_*.py` and `test_queue_port.py` run the same rules against both."""
