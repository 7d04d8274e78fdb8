"""Board files: typed models, search, inheritance, validation."""
