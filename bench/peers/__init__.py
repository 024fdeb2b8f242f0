"""One file for each way to run a container. Each gives a ``rounds.Peer``, or raises ``Missing``."""
