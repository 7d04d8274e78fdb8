"""How bits reach a board."""
