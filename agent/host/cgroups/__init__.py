"""Cgroups of tasks and their limits: by the kernel's files, or by systemd's slices."""
