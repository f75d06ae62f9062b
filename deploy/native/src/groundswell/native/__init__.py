"""Runs the whole platform on one machine without containers.

Provides Apache Kafka, Weaviate and PostgreSQL from package registries alone, generates their secrets, keeps every
process of the stack alive under one supervisor, and says what is ready. Reads nothing of the services but their env
files' names and their /readyz.
"""
