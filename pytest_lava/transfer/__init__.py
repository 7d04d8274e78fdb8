"""Files to and from a board: over its serial line, or over a network where there is one."""
