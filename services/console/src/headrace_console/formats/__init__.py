"""Values as a page shows them: hostile text made inert, bytes, times, pictures."""
