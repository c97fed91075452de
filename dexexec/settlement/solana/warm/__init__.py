"""Warm state: what an order needs of the chain, kept in memory so that nothing is requested between POST and send."""
