"""A localnet for the benchmark, and a proxy in front of it that makes it as distant as a node on the internet."""
