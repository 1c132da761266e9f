"""What bookkeeping writes and asks, by theme."""
