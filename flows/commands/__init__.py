"""One function a command; what it needs is imported when it is called."""
