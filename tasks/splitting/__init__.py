"""Dealing rows to parts, and proof that nothing leaks between them."""
