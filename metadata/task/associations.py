"""What a container is associated with, by type and name (versions 3 and 4).

Nothing on a host of one's own makes associations, so there are rarely any; what is asked about them
has answers all the same.
"""

from metadata.front.asking import Answer, shown
from metadata.source import ContainerFacts

ROUTE = "/associations/"


def answer(version: str, container: ContainerFacts | None, rest: str) -> Answer:
    """`rest` follows ROUTE: a type, or a type and a name, which may contain slashes."""
    kind, slash, name = rest.partition("/")
    if container is None:
        return shown(f"{version} associations handler: no container has this id", 400)
    known = container.associations.get(kind, {})
    if not slash:
        return shown({"Associations": list(known) or None})
    if name not in known:
        reason = f"container {container.name} has no association {name!r} of type {kind!r}"
        return shown(f"{version} association handler: {reason}", 400)
    return Answer(known[name].encode())
