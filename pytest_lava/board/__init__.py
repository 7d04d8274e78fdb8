"""A board as a state machine over power, console and boot chain."""
