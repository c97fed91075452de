"""Postgres and Redis in memory, as far as the store and the queue need them. Each keeps the contract of the real one:
`test_store_port.py`, `test_store_steps.py` and `test_queue_port.py` in `tests/contract` run the same rules against both."""
