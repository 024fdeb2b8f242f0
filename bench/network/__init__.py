"""``bench network``: what attaching a container costs, and what its packets pay.

ways      the ways to attach: a floor, the agent's, executables, the reference plugins
flows     bytes a second and round trips between two sockets
measure   the rounds, and the report
"""
