"""Container networks: a bridge with addresses, and published ports.

Each plugin (`bridge`, `ipam`, `portmap`) is a set of functions `add`, `delete`, `check(conf, args,
context)`: frozen dataclasses in, a `spec.Result` (or the chosen port bindings) out, a numbered
`errors.CNIError` raised. They are synchronous, print nothing and read no environment, so the same
functions serve a caller in the same process and an executable.

Below them: `netlink` (the transport), `rtnetlink` (links, addresses, routes), `nft` and `ruleset`
(our nftables table), `netns`, `loopback` and `sysctl` (what must be done inside a namespace).

"The host" is always the network namespace of the thread that opened the `context.Context`.
Nothing here knows what a task is: names, namespaces and their life belong to the caller.
"""
