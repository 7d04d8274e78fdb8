"""Who may use a board."""
