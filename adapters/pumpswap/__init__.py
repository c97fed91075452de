"""The venue `pumpswap`: constant product pools of PumpSwap, which no run has confirmed."""
