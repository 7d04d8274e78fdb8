"""Puts packages, archives, files and modules into an image, without root, without mounting, once for each input."""
