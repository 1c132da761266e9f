"""What a project brings of its own: the contracts of its parts, and how they are found."""
