"""The domain of dead letters: index, selection, preview, replay."""
