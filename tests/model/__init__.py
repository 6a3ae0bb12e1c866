"""The protocol of links as a state machine, and a search through everything that can happen to it."""
