"""Reacts to documents that arrive or go; promises versions, chunks and manifests that are right at COMMIT."""
