"""LAVA jobs as data: read, checked whole, and taken apart into what is deployed, booted and run."""
