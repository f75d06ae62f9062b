"""Reacts to HTTP requests and replies; promises exactly one terminal answer for each accepted request."""
