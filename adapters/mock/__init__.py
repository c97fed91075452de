"""Mock venues. They quote from a generated market and settle on the simulated chain or on a localnet."""
