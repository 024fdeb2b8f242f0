"""What may be asked about tasks: by themselves at 169.254.170.2, by their host on loopback.

`source` holds the facts and the few questions asked of the agent; `encoding` the JSON that all
share. `endpoint` puts together what is behind every socket of a task:

    front/       sockets, doors (one for each owner), the rate limit, what a room is
    versions     the room of versions 3 and 4: `routes` says what each path shows
    task/        facts as task and container objects
    stats/       usage figures: read, sampled, shown
    credentials/ those of tasks' roles: obtained, kept fresh, given out, and the log of that
    agentapi/    what a task may ask of the agent: protection, network faults

For the host there is `introspection/`: tasks, the agent's health, metrics for Prometheus. `file` is
the text of the file that a container may find inside itself.

Nothing here knows the agent, opens a socket inside a namespace, or changes anything: the agent
hands over listening sockets and a read-only picture of its tasks, in `agent.telling`.
"""
