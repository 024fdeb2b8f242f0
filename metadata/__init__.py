"""What a task may ask about itself: the metadata endpoint at 169.254.170.2, versions 3 and 4.

`source` holds the facts and the one question asked of the agent; `shapes` and `render` turn facts
into the JSON of the ECS task metadata endpoint; `cgroup`, `proc`, `sampler` and `stats` do the
same for usage figures; `app` answers requests; `listener` serves sockets.

Nothing here knows the agent, opens a socket inside a namespace, or changes anything: the agent
hands over listening sockets and a read-only picture of its tasks, in `agent.app`.
"""
