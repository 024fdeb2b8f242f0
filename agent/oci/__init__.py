"""What the runtime is told about a container: pure builders from values to OCI JSON.

``inputs`` is what goes in and ``spec`` what comes out; ``image`` and ``user`` read an image's
config and its passwd and group files; ``files`` writes hosts, resolv.conf and hostname. Nothing
here touches the machine: the host floor gathers the values and carries the result to containerd.
"""
