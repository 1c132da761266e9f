"""Using a registered model on new data: answers for rows of any number, and its worth on labelled ones."""
