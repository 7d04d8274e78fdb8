"""Commands and scripts that belong to no suite: from where they come, and how one runs."""
