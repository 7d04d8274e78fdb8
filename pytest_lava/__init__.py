"""The LAVA dispatcher rebuilt as a pytest plugin.

Nothing is imported here: pytest imports this package in every run, also in those that use no board.
"""
