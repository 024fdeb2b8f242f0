"""Where the network interfaces of awsvpc tasks come from: one file per provider.

``choice`` opens the one that the settings name. A provider only says which interface a task has and
remembers that it does; moving it into the task, or making it there, is the network plugin's work.
"""
