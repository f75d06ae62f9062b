"""The groundswell command: a client of the HTTP API and of the local stack."""
