"""The stage runtime: from a Kafka batch to the commit."""
