"""Rules for raw data: our own checks, and a Great Expectations suite."""
