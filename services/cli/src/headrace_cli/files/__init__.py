"""Reading a catalogue from files, row by row, whatever their size."""
