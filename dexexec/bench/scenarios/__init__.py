"""What the bench measures, one scenario a file."""
