"""How a board is switched on and off."""
