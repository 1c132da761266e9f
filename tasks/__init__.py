"""The library: six steps, and the parts that they are made of. No server is needed to call any of it."""
