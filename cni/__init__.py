"""Container networks as CNI plugins: functions for the agent, programs for other runtimes.

    spec, conf, errors, formats     the words of CNI: arguments, configuration, errors, JSON
    plugin, context                 what a plugin is, and what it works with
    bridge ipam portmap             the plugins, a folder each; in each `plugin` has the verbs
    awsvpc security
    inside                          a container's end of an attachment, for those that make one
    faults                          what a task asks for to see how it takes it
    firewall, kernel                what they change on the host, and how the kernel is told
    runtime                         runs networks of plugins, ours and others'
    program                         runs one plugin for a runtime that isn't ours

The verbs are synchronous: frozen dataclasses in, a `spec.Result` out, a numbered `errors.CNIError`
raised. They print nothing and read no environment, so the same functions serve a caller in the same
process and an executable. "The host" is always the network namespace of the thread that opened the
`context.Context`. Nothing here knows what a task is: names, namespaces and their life belong to the
caller.
"""
