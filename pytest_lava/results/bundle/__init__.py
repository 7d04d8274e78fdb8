"""The result bundle: made from the journal, checked, read, upgraded, shown."""
