"""What people look at: the page of a run, its charts and pictures."""
