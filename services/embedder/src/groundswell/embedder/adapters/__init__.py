"""The outside of the embedder."""
