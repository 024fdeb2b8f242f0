"""Who we are to a registry: a login for a host, from wherever the operator keeps it."""
