"""Recovery from the chain: what a record lost with its last commits is read back from the wallet's transactions.

`permission` decides whether this process may sign, `comparison` compares record and chain for one wallet, `own` proves
which transactions are ours; what the record then has to learn is decided by `dexexec.domain.recovered_orders`.
"""
