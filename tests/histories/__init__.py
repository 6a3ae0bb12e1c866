"""Random histories of a few entities on the real stores, and the invariants that every history must keep."""
