"""Recovery from the chain: restores what the record lost with its last commits from the wallet's transactions.

`signing_permission` decides whether this process may sign, `chain_comparison` compares record and chain for one wallet,
`own_transactions` proves which transactions the wallet made. `dexexec.domain.recovered_orders` computes what to write.
"""
