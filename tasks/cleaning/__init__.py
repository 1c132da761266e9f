"""Row-local, stateless operations on rows."""
