"""The pool programs' arithmetic in exact integers, without I/O. Used when an order is quoted.

One module per program (`clmm`, `cpmm`, `damm_v2`, `dlmm`). Each has a pool state with the field names of the program's
accounts, and two functions, `quote_exact_in` and `quote_exact_out`, which take (pool, amount, direction, now) and
return a `SwapResult`. Where the price depends on accounts that were not read, they raise `MissingArray`.
"""
