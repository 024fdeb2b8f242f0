"""What a container needs of others: what it says, and what follows from links and volumes."""

from agent.task.definition import Need, needs
from tests.worlds import container


def test_links_and_volumes_are_dependencies_too() -> None:
    web = container(
        "web",
        dependsOn=[{"containerName": "db", "condition": "HEALTHY"}],
        links=["db:base", "cache"],
        volumesFrom=[{"sourceContainer": "data"}],
    )
    expected = (
        Need("db", "HEALTHY"),
        Need("db", "START"),
        Need("cache", "START"),
        Need("data", "CREATE"),
    )
    assert needs(web) == expected


def test_each_is_named_once() -> None:
    start = {"containerName": "db", "condition": "START"}
    assert needs(container("web", dependsOn=[start], links=["db"])) == (Need("db", "START"),)
