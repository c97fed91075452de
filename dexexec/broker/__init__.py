"""Redis: the order queue, rate limits, and finding the server that takes writes."""
