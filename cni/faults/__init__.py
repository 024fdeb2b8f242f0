"""Network faults on purpose, to see how programs take them: what ECS calls fault injection.

`blackhole` drops packets by nftables, `shaping` delays or loses them by traffic control. All state
is the kernel's, in the namespace that the faults are made in, and dies with it.
"""
