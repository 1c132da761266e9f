"""What is fitted on train rows: the encoder, the training loop, the model as it is kept."""
