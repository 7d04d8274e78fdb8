"""From options and board files to the plan of a run, before any board is touched."""
