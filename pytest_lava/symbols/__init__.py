"""Call traces of the kernel under test with the lines of source that they pass through."""
