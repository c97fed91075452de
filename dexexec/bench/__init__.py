"""`python -m dexexec bench`: measures the service, and the limits of what it is built on.

`command` runs the parts (`scenarios`) in turn. Each gets its own database and Redis prefix (`sandbox`), and
a load client in a process of its own (`client`). docs/BENCHMARKS.md explains what is measured.
"""
