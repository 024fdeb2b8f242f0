"""What the host's own programs may ask the agent, on a loopback port: tasks, health, metrics.

`page` answers; `hosts` keeps browsers out, `words` and `render` make the objects of ECS's
introspection API, `health` is what the agent tells of itself, `metrics/` is for Prometheus.
"""
