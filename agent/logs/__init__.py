"""The log router: one small process that carries every container's output to its log.

Containers outlive the agent, so what reads their output must too. The runtime's shim writes each
container's stdout and stderr to two FIFOs; the router reads all of them and writes the logs.

    protocol    what the agent and the router say to each other
    records     which streams are open, across restarts
    client      one connection of the agent
    fifo        opening FIFOs for reading
    lines       bytes to lines
    journal     what was read and is not yet in a log: survives kill -9
    jsonfile    the json-file driver
    stream      one container: FIFOs, journal and log joined
    router      the process: its socket, its event loop
    reader      reading logs back; used by the agent and the command line, not by the router

Nothing here imports the rest of Hostler, and nothing but ``reader`` imports more of the standard
library than it must (no asyncio, dataclasses, logging, argparse): the process serves the whole
host, and takes thirteen megabytes where it would take twenty. That is why its values are named
tuples and slotted classes.
"""
