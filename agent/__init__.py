"""Hostler, an agent that runs ECS task definitions on any Linux host through containerd.

Four floors, each importing only what is below it:

    cli, doors   how work gets in: the command line and the ECS JSON 1.1 API
    engine       keeps every plan going: one supervisor per task, the store, the feed
    host         touches the world: one file per family of actions, over oci, registry, containerd
    task         thinks: what a task is and what should happen next; pure

``app`` is the composition root and the only module that sees all of them. ``logs`` is a small
process of its own. The top-level packages ``cni`` and ``metadata`` know nothing of the agent.
"""

VERSION = "0.1.0"
