"""Programs of others, unmodified, that say what they make of a task's metadata from inside it.

They come from PyPI and npm into a directory of their own, as their users have them and not as the
versions of our dependencies would: once, and again when the lists of versions change.
"""
