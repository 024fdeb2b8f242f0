"""Variables of containers that must not be on a disk: how they are had, held and handed over.

They are those of ``secrets`` and ``environmentFiles``. ``obtaining`` has them from AWS or from
files of this host, ``keeper`` holds them in the agent's memory for as long as a container may need
them, ``handover`` gives them to the OCI runtime past every file.
"""
