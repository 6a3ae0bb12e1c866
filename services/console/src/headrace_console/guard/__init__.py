"""What a request must pass before a route answers it."""
