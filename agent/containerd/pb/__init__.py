"""Generated from ``../proto`` by ``agent.containerd.generate``; edit the ``.proto`` files."""
