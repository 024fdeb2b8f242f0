"""The plugin `hostler-portmap`: ports of a container published on the host."""
