"""A process that stands by: it has imported what commands need, and becomes one when it is asked."""
