"""Metrics, traces and logs: declared in names.py, set up once per process by `configure`."""
