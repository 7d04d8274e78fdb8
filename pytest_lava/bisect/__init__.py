"""``git bisect run`` over a kernel's history: build, test on a board, and a verdict for each commit."""
