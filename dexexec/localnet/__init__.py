"""A Solana to develop against, in one process: JSON-RPC and WebSocket over a whole runtime (LiteSVM), kept on disk.

    blocks         the chain of blocks: slots, heights, blockhashes, commitment; pure
    history        what accounts held before each recent slot: views at a commitment, and forks; pure
    faults         what a test may ask a node to do wrong; pure
    runtime        LiteSVM and its one owner
    journal        the SQLite file: blocks, accounts, transactions
    ledger         the chain itself: a transaction lands once, is kept, and can be taken back by a fork
    fixtures       program and account files
    rpc_error      JSON-RPC's errors
    call           one request: its parameters, its node, the block that it looks at
    ui             accounts and transactions as JSON
    node_methods, account_methods, transaction_methods, fault_methods   the methods
    dispatch       a body of JSON-RPC to the body of its answer
    subscriptions  what WebSockets wait for
    server         HTTP and WebSocket
    command        `python -m dexexec localnet`

Nothing else of dexexec imports this package, and only this package needs the `solana` extra.
"""
