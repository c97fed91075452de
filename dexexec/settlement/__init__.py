"""Settlement: signs swaps, sends them, and proves their outcomes on the chain."""
