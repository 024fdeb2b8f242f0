"""The plugin `hostler-ipam`, and whatever else gives addresses: ranges, leases, a static list."""
