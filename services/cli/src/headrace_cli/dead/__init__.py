"""The parts of `headrace dead`: options, queries, actions, edits and tables."""
