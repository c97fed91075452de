"""Postgres and Redis in memory, as far as the store and the queue need them. Each keeps the contract of the real one:
`tests/contract/test_store_port.py` and `tests/contract/test_queue_port.py` run the same rules against both."""
