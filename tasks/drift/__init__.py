"""Whether rows still look like those that a model learned from: a profile of them, and a distance."""
