"""Boards as tests get them: which ones, for how long, and whether they are still fit for use."""
