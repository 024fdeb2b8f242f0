"""The environment variables that a container is given by the agent, as ECS names them."""

from __future__ import annotations

from collections.abc import Collection

from agent.host.gpus import inventory
from agent.host.network.metadata_sockets import BEHIND_PORT, LOOPBACK
from agent.task.model import Task

REGION_NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def injected(task: Task, name: str, given: Collection[str], region: str) -> dict[str, str]:
    """All of them. ``given`` are the names that definition and image set, ``region`` may be ""."""
    return {
        **_metadata(task, name),
        **_credentials(task),
        **inventory.environment(task.gpus, name),
        **_region(region, given),
    }


def _metadata(task: Task, name: str) -> dict[str, str]:
    """Where a program may ask about itself, and ask the agent (ECS metadata v3, v4, agent API)."""
    endpoint = task.identity(name).endpoint_id
    return {
        "ECS_CONTAINER_METADATA_URI": f"http://169.254.170.2/v3/{endpoint}",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://169.254.170.2/v4/{endpoint}",
        "ECS_AGENT_URI": f"http://169.254.170.2/api/{endpoint}",
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
    }


def _credentials(task: Task) -> dict[str, str]:
    """Where AWS's SDKs find the credentials of the task's role, if it has one.

    Relative to the metadata address; on the host's network, where anybody may come, with a token.
    """
    if not task.credentials_id:
        return {}
    path = f"/v2/credentials/{task.credentials_id}"
    if task.definition.network_mode != "host":
        return {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": path}
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{LOOPBACK}:{BEHIND_PORT}{path}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": task.credentials_token,
    }


def _region(region: str, given: Collection[str]) -> dict[str, str]:
    """Both names or none: one that is given already says something else."""
    if not region or any(each in given for each in REGION_NAMES):
        return {}
    return dict.fromkeys(REGION_NAMES, region)
