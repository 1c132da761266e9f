"""Servers that we start: behind one door, on a leash, with one credential."""
