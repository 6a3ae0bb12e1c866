"""What several suites share: a stage in memory, workers in this process or their own, and reading topics back."""
