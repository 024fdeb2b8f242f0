"""The requests of the API as models: what may be asked, checked before anything is looked up.

Field names are ECS's. Fields that only a cloud could act on are accepted and unused (they are not
listed, ``extra`` is ignored); what would silently change the meaning of a call is refused instead.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agent.doors.errors import InvalidParameter

MAX_TASKS = 100
"""Tasks that one Describe call may name, and the largest page of a listing."""

LAST_SECOND = 253402300799
"""9999-12-31T23:59:59Z: later times can't be written as RFC 3339."""


class _Strict(BaseModel):
    """Strict: a number is not a text."""

    model_config = ConfigDict(
        strict=True, frozen=True, alias_generator=to_camel, populate_by_name=False, extra="ignore"
    )


class Request(_Strict):
    """Any request."""

    cluster: str | None = None


class Tag(_Strict):
    """A label of a task."""

    key: str = Field(min_length=1, max_length=128)
    value: str = Field("", max_length=256)


class AwsvpcConfiguration(_Strict):
    """What a task in awsvpc mode is connected to. ECS limits the numbers."""

    subnets: list[str] = Field(default_factory=list, max_length=16)
    security_groups: list[str] = Field(default_factory=list, max_length=5)
    assign_public_ip: Literal["ENABLED", "DISABLED"] = "DISABLED"


class NetworkConfiguration(_Strict):
    """The network of a task, in awsvpc mode only."""

    awsvpc_configuration: AwsvpcConfiguration | None = None


class RunTask(Request):
    """RunTask."""

    task_definition: str
    count: int = Field(1, ge=1, le=10)
    overrides: dict[str, Any] = Field(default_factory=dict)
    group: str | None = Field(None, max_length=255)
    started_by: str = Field("", max_length=128)
    client_token: str = Field("", max_length=64)
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    propagate_tags: Literal["TASK_DEFINITION", "SERVICE", "NONE"] = "NONE"
    network_configuration: NetworkConfiguration = NetworkConfiguration()

    @property
    def awsvpc(self) -> AwsvpcConfiguration:
        """What was asked for in awsvpc mode; nothing, in other modes and by default."""
        return self.network_configuration.awsvpc_configuration or AwsvpcConfiguration()


class StopTask(Request):
    """StopTask. ``force`` is Hostler's: SIGKILL at once."""

    task: str
    reason: str = Field("Task stopped by user", max_length=1024)
    force: bool = False


class DescribeTasks(Request):
    """DescribeTasks."""

    tasks: list[str] = Field(min_length=1, max_length=MAX_TASKS)
    include: list[Literal["TAGS"]] = Field(default_factory=list)


class UpdateTaskProtection(Request):
    """UpdateTaskProtection."""

    tasks: list[str] = Field(min_length=1, max_length=10)
    protection_enabled: bool
    expires_in_minutes: int | None = None


class GetTaskProtection(Request):
    """GetTaskProtection; without ``tasks`` it is about all that can be protected."""

    tasks: list[str] = Field(default_factory=list, max_length=MAX_TASKS)


class Page(Request):
    """Part of a listing; ``nextToken`` is the place where the last page ended."""

    max_results: int = Field(MAX_TASKS, ge=1, le=MAX_TASKS)
    next_token: str = Field("", pattern="^[0-9]{0,9}$")


class ListTasks(Page):
    """ListTasks."""

    family: str | None = None
    started_by: str | None = None
    service_name: str | None = None
    container_instance: str | None = None
    launch_type: str | None = None
    desired_status: Literal["RUNNING", "PENDING", "STOPPED"] = "RUNNING"


class ListTaskDefinitions(Page):
    """ListTaskDefinitions."""

    family_prefix: str | None = None
    status: Literal["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"] = "ACTIVE"
    sort: Literal["ASC", "DESC"] = "ASC"


class DescribeTaskDefinition(Request):
    """DescribeTaskDefinition."""

    task_definition: str
    include: list[Literal["TAGS"]] = Field(default_factory=list)


class DeregisterTaskDefinition(Request):
    """DeregisterTaskDefinition."""

    task_definition: str


class DescribeClusters(Request):
    """DescribeClusters."""

    clusters: list[str] = Field(default_factory=list, max_length=MAX_TASKS)


class ListContainerInstances(Request):
    """ListContainerInstances."""

    filter: str | None = None
    status: (
        Literal["ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "REGISTRATION_FAILED"] | None
    ) = None


class DescribeContainerInstances(Request):
    """DescribeContainerInstances."""

    container_instances: list[str] = Field(min_length=1, max_length=MAX_TASKS)
    include: list[Literal["TAGS", "CONTAINER_INSTANCE_HEALTH"]] = Field(default_factory=list)


class UpdateContainerInstancesState(Request):
    """UpdateContainerInstancesState."""

    container_instances: list[str] = Field(min_length=1, max_length=10)
    status: Literal["ACTIVE", "DRAINING"]


class WatchTask(Request):
    """Hostler's: the timeline after its first ``since`` steps, waiting if there are none yet."""

    task: str
    since: int = Field(0, ge=0)
    wait_seconds: float = Field(0, ge=0, le=60)


class GetLogs(Request):
    """Hostler's: lines of one container's log. ``sinceTime`` in epoch seconds."""

    task: str
    container: str
    since_time: float | None = Field(None, ge=0, le=LAST_SECOND)
    tail: int | None = Field(None, ge=0)
    cursor: str = Field("", pattern="^([0-9]{1,20}:[0-9]{1,20})?$")


class ListImages(Request):
    """Hostler's: the images on this host."""


class ListVolumes(Request):
    """Hostler's: the shared volumes of this host."""


class NamedVolume(Request):
    """Hostler's InspectVolume and RemoveVolume."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")


class CreateVolume(NamedVolume):
    """Hostler's: a shared volume, with options of Docker's driver ``local``."""

    driver_opts: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class NamedImage(Request):
    """Hostler's InspectImage, and pulling one: ``image`` is a name, a digest or an id."""

    image: str


class RemoveImage(NamedImage):
    """Hostler's: a name of an image is to go; ``force`` even though tasks need it."""

    force: bool = False


class PruneImages(Request):
    """Hostler's: the images that nobody needs are to go; ``dryRun`` only tells which would.

    With ``scheduled`` they are those that the agent's own clean-up would remove now.
    """

    dry_run: bool = False
    scheduled: bool = False
    older_than_seconds: float = Field(0, ge=0, le=LAST_SECOND)


class DescribeQueue(Request):
    """Hostler's: the tasks that wait for their share of the host."""


class DescribeNetworks(Request):
    """Hostler's: the networks of the tasks on this host."""


class Diagnose(Request):
    """Hostler's: what is wrong with the host; ``fix`` mends what can be mended."""

    fix: bool = False


R = TypeVar("R", bound=Request)


def read(model: type[R], body: dict[str, Any]) -> R:
    """The request in ``body``. Raises InvalidParameter naming every field that is wrong.

    Fields that are null or empty text count as absent: tools send them.
    """
    try:
        return model.model_validate(
            {name: value for name, value in body.items() if value is not None and value != ""}
        )
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise InvalidParameter(problems) from error
