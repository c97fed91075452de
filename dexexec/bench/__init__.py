"""`python -m dexexec bench`: how fast the service is here and now, beside how fast it could be at most.

    command      the options, the parts in turn, the report at the end
    servers       a database and a Redis prefix of its own per part, on embedded servers or on given ones
    processes    the service and the load client as child processes
    load         the load client's process: what it does is in `closed`, `paced` and `sockets`
    record       what Postgres says afterwards: the client's counts are checked against it
    primitives, throughput, latency, fanout, memory, past, crowd (intake and overload): the parts
    foreign      the same of a server that somebody else has started
    report       figures, faults, the table and the JSON

What is measured and how is told in docs/BENCHMARKS.md.
"""
