"""What people and result servers get of a run: terminal, HTML, result files, submissions."""
