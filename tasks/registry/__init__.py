"""MLflow: runs, versions, the model as it is packed, and the proof that it loads."""
