"""The main job on real servers, in a minute: what `headrace demo` does."""
