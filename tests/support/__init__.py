"""What several tests need: shells on ptys, and lines that go wrong."""
