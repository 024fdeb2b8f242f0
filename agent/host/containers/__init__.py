"""Containers: what each is made of, its record and its process in containerd, its upkeep."""
