"""The operator's web page: what failed and why, what a replay would change, and the replay itself."""
