"""Text encoders on torch with token-budget batches, and the model store they load from."""
