"""What each store must hold, computed from the published changes alone: pure functions, no product code."""
