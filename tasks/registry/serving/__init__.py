"""A champion that answers over HTTP: the model behind MLflow's protocol, who answers now, the routes."""
