"""Code that several suites share: servers, workers, a stage in memory, and readers of topics."""
