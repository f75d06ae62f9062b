"""Provides and supervises Kafka, Weaviate, PostgreSQL and the six services on one machine, without containers."""
