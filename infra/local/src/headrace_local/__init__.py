"""Real servers on one machine, without Docker."""
