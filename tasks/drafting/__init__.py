"""A project from data that nobody here has seen: what is there, what it means, what to write down.

`finding` tells tables, pictures and texts apart; `tables`, `pictures` and `texts` look at the examples and
decide; `suite`, `page` and `card` put the decisions into the project's three files; `folder` writes all
of it at once or nothing. Every decision is a `Guess`: with its reason, and the setting that overrides it.
"""
