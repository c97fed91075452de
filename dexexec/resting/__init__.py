"""Orders that rest: loops that watch prices, times and launches, and trigger the orders that wait for them.

Beside intake and recovery: a trigger makes an order due, and a worker executes it like any other.
"""
