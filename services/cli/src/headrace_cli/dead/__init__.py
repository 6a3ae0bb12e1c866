"""What `headrace dead` does: choosing letters, looking at them, and showing them."""
