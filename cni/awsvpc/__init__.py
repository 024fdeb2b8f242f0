"""The plugin `hostler-awsvpc`: an interface of the task's own, as an ENI is in ECS.

A NIC that is lent is recorded before it is touched, and given back whatever happens (`nics`).
"""
