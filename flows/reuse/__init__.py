"""What was done before: planned by, gone on with, and thrown away."""
