"""Decisions of the embedder: what is wrong with a command, which texts go to the model together, what is stored."""
