"""How work gets in: the ECS JSON 1.1 API, and Hostler's few calls beside it.

``unix`` and ``tcp`` (with ``sigv4`` and ``keys``) say who may come in. Behind them ``api`` speaks
HTTP, ``requests`` checks what is asked, ``operations`` has one function per call of ECS's
(``admission`` helps RunTask) and ``extensions`` one per call of Hostler's, ``shapes`` writes
answers. Only intent is written from here, through the fleet.
"""
