"""Layers of images as bytes: decompressed and looked through before anything is written to disk."""
