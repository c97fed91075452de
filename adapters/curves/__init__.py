"""The venues' arithmetic: exact integers in, exact integers out, no I/O. It serves the quote step of an order.

One module per program (`cpmm`, `damm_v2`), each with frozen pool states named as in the program's accounts and two
functions, `quote_exact_in` and `quote_exact_out`, that take (pool, amount, direction, now) and give a `SwapResult`.
"""
