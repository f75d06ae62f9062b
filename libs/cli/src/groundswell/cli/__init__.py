"""The groundswell command: a client of the HTTP API, and the hand on the local stack."""
