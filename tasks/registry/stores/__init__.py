"""Databases that MLflow keeps its state in: each made once, and said to be away within seconds."""
