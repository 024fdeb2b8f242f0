"""Facts to the objects of the introspection API (`/v1/metadata`, `/v1/tasks`).

Pure. A None member is a key left out; the keys and their rules are the ECS agent's.
"""

from typing import Final

from metadata.encoding import Json, optional_time, present
from metadata.introspection import words
from metadata.source import ContainerFacts, InstanceFacts, TaskFacts
from metadata.task import shapes

NOBODY: Final[Json] = {
    "Arn": "",
    "KnownStatus": "",
    "Family": "",
    "Version": "",
    "Containers": None,
}
"""What is shown with an error: a task without values."""


def instance(facts: InstanceFacts) -> Json:
    """`/v1/metadata`. The version has the form that programs take ECS's own apart by."""
    return {
        "Cluster": facts.cluster.rpartition("/")[2],
        "ContainerInstanceArn": facts.arn or None,
        "Version": f"Hostler - v{facts.version}",
    }


def task(facts: TaskFacts) -> Json:
    """One task, without the containers that it didn't ask for."""
    return present(
        {
            "Arn": facts.arn,
            "DesiredStatus": words.shown_desired(facts.desired_status, facts.known_status),
            "KnownStatus": words.backend(facts.known_status),
            "Family": facts.family,
            "Version": facts.revision,
            "Containers": [_container(each) for each in shown(facts)],
        }
    )


def shown(facts: TaskFacts) -> list[ContainerFacts]:
    """The containers of a task's definition: pause containers and their like are not shown."""
    return [each for each in facts.containers if each.type == "NORMAL"]


def _container(container: ContainerFacts) -> Json:
    """Ports are those that are bound, and until then those that the definition maps."""
    ports = container.ports or container.mapped_ports
    own = [each for each in container.networks or () if each.interface is not None]
    return present(
        {
            "DockerId": container.docker_id,
            "DockerName": container.docker_name,
            "Name": container.name,
            "Image": container.image,
            "ImageID": container.image_id,
            "CreatedAt": optional_time(container.created_at),
            "StartedAt": optional_time(container.started_at),
            "Ports": [shapes.port_v3(each) for each in ports] or None,
            "Networks": [shapes.network_v3(each) for each in own] or None,
            "Volumes": [shapes.volume(each) for each in container.volumes] or None,
            "RestartCount": container.restart_count,
        }
    )
