"""Hostile input for everything that reads what others write: records, files, requests of the console."""
