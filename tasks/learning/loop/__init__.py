"""What the training loop stands on: memory that runs out, and several processes that train one network."""
