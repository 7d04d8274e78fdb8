"""What stands between power-on and a shell."""
