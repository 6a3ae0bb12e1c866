"""Clients of Kafka, Qdrant and PostgreSQL."""
