"""The plugin `hostler-firewall`: what may pass an interface, in the spirit of security groups."""
