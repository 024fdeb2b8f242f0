"""What containers use.

`reader` keeps a cgroup's files open, `cgroup` and `proc` know what they mean, `sweep` samples all
containers, `sampler` says when, `render` and `answers` show it.
"""
