"""What may be wrong with this host, for ``hostler doctor``: a file for each family of checks.

Checks only find: mending is the doctor's. Those of the host work without an agent too (``host``);
what only a running agent can know is asked by ``doctor``.
"""
