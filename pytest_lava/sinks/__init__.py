"""Result servers and folders that a run is submitted to: one module each, behind ``api.Sink``."""
