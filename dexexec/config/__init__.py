"""Settings from the environment: read once, validated, frozen."""
