"""How work gets in: the ECS JSON 1.1 API, and Hostler's few calls beside it.

``api`` speaks HTTP, ``requests`` checks what comes in, ``operations`` has one function per call of
ECS's (``admission`` helps RunTask) and ``extensions`` one per call of Hostler's, ``shapes`` writes
answers. Only intent is written from here, through the fleet.
"""
