"""Rows that are nearly the same, across the parts of a split."""
