"""How work gets in: the ECS JSON 1.1 API, and Hostler's few calls beside it.

``unix`` and ``tcp`` (with ``sigv4`` and ``keys``) say who may come in. Behind them ``api`` speaks
HTTP and ``requests`` checks what is asked. Each call is a function: those of ECS's are in
``definitions``, ``tasks`` (``admission`` helps RunTask), ``protection`` and ``instances``, those of
Hostler's in ``extensions``. They work with a ``desk``; ``shapes`` writes answers. Only intent is
written from here, through the fleet.
"""
