"""Touches the world: one file per family of actions, each idempotent, over the clients below.

``host`` is the seam that the engine sees (``look`` and ``act``); nothing here decides what should
be. The rooms: ``containers`` (their making and their processes), ``images``, ``network`` and
``interfaces``, ``volumes``, ``namespaces``, ``private`` (what no disk may see), ``gpus``,
``cgroups``, and ``leftovers`` of tasks that are gone.
"""
