"""From a chosen quote to an outcome: who signs, where swaps are sent, and what may be believed about them."""
