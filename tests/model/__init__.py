"""The link protocol as a state machine, and a search through all its states."""
