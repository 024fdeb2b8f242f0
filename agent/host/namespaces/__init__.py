"""Namespaces that the containers of a task share (``pidMode`` and ``ipcMode: task``).

``provider`` provides them as one provision. An IPC namespace and its /dev/shm need no process: they
are pinned by mounts (``pins``). A PID namespace lives as long as its first process, ``pause``.
"""
