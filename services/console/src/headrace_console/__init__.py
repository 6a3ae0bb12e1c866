"""The web console for operators: dead letters by cause, previews, replays and the state of the workers."""
