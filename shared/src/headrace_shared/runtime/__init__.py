"""The path of a batch: subscriber (app), the five steps (batch), the stage (in services/)."""
