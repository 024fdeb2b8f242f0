"""The plugin `hostler-bridge`: a veth pair between a container and the bridge at its gateway."""
