"""A sweep: its run with the ranked table, its trials, and what becomes of the winner."""
