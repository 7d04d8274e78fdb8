"""Stress runs: a load without a set duration, until it ends, breaks the board or meets a limit."""
