"""What a worker is written against: stage, store, settings."""
