"""Names follow from ids: well-formed, short enough, and different for different things."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.task import names
from agent.task.definition.container_rules import NAME
from agent.task.model import TASK_SANDBOX, TaskId
from agent.task.names import Names
from tests.worlds import CLUSTER, container, task

OF = Names(Path("/run/x"), Path("/var/lib/x"), "/parent", "hv12")
task_ids = st.text("0123456789abcdef", min_size=32, max_size=32).map(TaskId)
container_names = st.from_regex(r"[A-Za-z0-9_-]{1,255}", fullmatch=True)


@given(task_id=task_ids, name=container_names)
def test_names_fit_where_they_are_used(task_id: TaskId, name: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", names.container_id(task_id, name))
    made = replace(task(), id=task_id)
    assert OF.container_cgroup(made, name).startswith(OF.task_cgroup(made).path + "/")
    assert OF.container_dir(task_id, name).parent == OF.task_dir(task_id)
    assert OF.netns(task_id, name).parent == Path("/run/x/netns")
    assert OF.log(task_id, name).is_relative_to("/var/lib/x")
    assert OF.metadata_dir(task_id, name).parent == OF.task_metadata_dir(task_id)
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert re.fullmatch(f"/opt/ecs/metadata/{uuid}", names.metadata_mount(task_id, name))


@given(task_id=task_ids, name=container_names | st.just(TASK_SANDBOX))
def test_a_namespace_is_found_by_its_sandboxs_id_alone(task_id: TaskId, name: str) -> None:
    path = OF.netns_of(names.container_id(task_id, name))
    assert path == OF.netns(task_id, name)
    assert path.parent == OF.netns_dir


@given(pieces=st.sets(st.tuples(task_ids, container_names), min_size=2, max_size=2))
def test_two_containers_share_no_name(pieces: set[tuple[TaskId, str]]) -> None:
    (one, a), (other, b) = pieces
    for name_of in (OF.netns, OF.files_dir, OF.container_dir, OF.log):
        assert name_of(one, a) != name_of(other, b)


def test_the_docker_name_is_reduced_to_what_ecs_allows() -> None:
    made = task(container("web_one"))
    assert re.fullmatch("ecs-test-1-webone-[0-9a-f]{20}", names.docker_name(made, "web_one"))


def test_arns_are_those_of_ecs() -> None:
    made = task(container("web"))
    assert CLUSTER == "arn:aws:ecs:xx-test-1:111122223333:cluster/lab"
    assert made.arn == f"arn:aws:ecs:xx-test-1:111122223333:task/lab/{made.id}"
    assert names.container_arn(made, "web") == (
        f"arn:aws:ecs:xx-test-1:111122223333:container/lab/{made.id}/arn-web"
    )
    assert made.definition_arn == "arn:aws:ecs:xx-test-1:111122223333:task-definition/test:1"


@given(task_id=task_ids)
def test_what_belongs_to_the_whole_task_is_named_unlike_any_container(task_id: TaskId) -> None:
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", names.attachment_id(task_id))
    shared = OF.files_dir(task_id, TASK_SANDBOX)
    assert shared.parent == OF.task_dir(task_id)
    assert not NAME.fullmatch(shared.name)
    assert OF.files_dir(task_id, "web") == OF.container_dir(task_id, "web")
