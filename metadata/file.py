"""Facts to the text of a container's metadata file (ECS_ENABLE_CONTAINER_METADATA).

Pure. Its keys, and what the first version leaves out, are the ECS agent's. Readers wait for
`MetadataFileStatus` to be READY.
"""

import json
from typing import Final

from metadata.encoding import Json, present
from metadata.source import ContainerFacts, InstanceFacts, PortFacts, TaskFacts
from metadata.task import shapes

READY: Final = "READY"


def is_ready(container: ContainerFacts) -> bool:
    """Whether all is known that the complete version has: the container runs."""
    return container.known_status == "RUNNING" and container.networks is not None


def text(instance: InstanceFacts, task: TaskFacts, container: ContainerFacts) -> bytes:
    """The complete version of a container that runs, the first version of any other."""
    ready = _ready(container) if is_ready(container) else {}
    shown = present(
        {
            "Cluster": instance.cluster.rpartition("/")[2] or None,
            "ContainerInstanceARN": instance.arn or None,
            "TaskARN": task.arn or None,
            "TaskDefinitionFamily": task.family or None,
            "TaskDefinitionRevision": task.revision or None,
            "ContainerName": container.name,
            **ready,
            "AvailabilityZone": task.availability_zone or None,
        }
    )
    return (json.dumps(shown, indent="\t") + "\n").encode()


def _ready(container: ContainerFacts) -> dict[str, Json]:
    networks = [shapes.network_v4(each) for each in container.networks or ()]
    return {
        "ContainerID": container.docker_id,
        "DockerContainerName": f"/{container.docker_name}",
        "ImageID": container.image_id or None,
        "ImageName": container.image,
        "PortMappings": [_port(each) for each in container.ports] or None,
        "Networks": networks or None,
        "MetadataFileStatus": READY,
    }


def _port(port: PortFacts) -> Json:
    return present(
        {
            "ContainerPort": port.container_port or None,
            "HostPort": port.host_port or None,
            "BindIp": port.host_ip or None,
            "Protocol": port.protocol or None,
        }
    )
