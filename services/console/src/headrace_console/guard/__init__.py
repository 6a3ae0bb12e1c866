"""Who may call the console, and from where."""
