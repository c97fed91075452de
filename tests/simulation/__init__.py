"""A deterministic simulation of the whole engine: a seed determines one scenario completely."""
