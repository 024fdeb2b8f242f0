"""What containers use: read (`cgroup`, `proc`), sampled for all (`sampler`), shown (`render`)."""
