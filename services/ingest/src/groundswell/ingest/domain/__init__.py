"""Decoding, structure, chunks and what changed: pure and synchronous."""
