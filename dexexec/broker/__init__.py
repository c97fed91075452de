"""Redis: the order queue, rate limits, and where the server for writes is."""
