"""Learning from a table in pieces: what an encoder counts in them, and the shards that training reads."""
