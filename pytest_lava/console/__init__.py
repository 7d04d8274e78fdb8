"""Transports, the one reader with its byte log, and the command line on top."""
