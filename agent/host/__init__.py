"""Touches the world: one file per family of actions, each idempotent, over the clients below.

``host`` is the seam that the engine sees (``look`` and ``act``); nothing here decides what should
be.
"""
