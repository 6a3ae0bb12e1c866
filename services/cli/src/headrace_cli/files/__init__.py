"""The files of a catalogue, read row by row in constant memory."""
