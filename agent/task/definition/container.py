"""The ECS ``ContainerDefinition`` and everything inside it, as frozen values.

Field by field the structure of the ECS API (RegisterTaskDefinition), defaults included; what a
field may hold beyond its type is in ``container_rules`` and ``task_rules``. Import these names from
``agent.task.definition``.
"""

from typing import Literal

from pydantic import Field

from agent.task.definition.shape import Flag, Shape, Text, TextMap, Texts, Whole

Protocol = Literal["tcp", "udp"]
Condition = Literal["START", "COMPLETE", "SUCCESS", "HEALTHY"]
DevicePermission = Literal["read", "write", "mknod"]


class KeyValuePair(Shape):
    """One environment variable."""

    name: Text
    value: Text = ""


class PortMapping(Shape):
    """One published port, or a range; ``host_port`` None or 0 asks for one to be chosen."""

    container_port: Whole | None = None
    container_port_range: Text | None = None
    host_port: Whole | None = None
    protocol: Protocol = "tcp"
    name: Text | None = None
    app_protocol: Literal["http", "http2", "grpc"] | None = None


class HealthCheck(Shape):
    """A command run inside the container; times in seconds."""

    command: Texts
    interval: Whole = 30
    timeout: Whole = 5
    retries: Whole = 3
    start_period: Whole = 0


class Dependency(Shape):
    """``dependsOn``: another container and what must be true of it first."""

    container_name: Text
    condition: Condition


class RestartPolicy(Shape):
    """Start the container again after an exit; the period is in seconds.

    The default of the period is the API's, as its limits are.
    """

    enabled: Flag
    ignored_exit_codes: tuple[Whole, ...] = ()
    restart_attempt_period: Whole = 300


class Capabilities(Shape):
    """Linux capabilities to add to or drop from the default set: no ``CAP_``, or ``ALL``."""

    add: Texts = ()
    drop: Texts = ()


class Device(Shape):
    """A device of the host; ``container_path`` None means the same path."""

    host_path: Text
    container_path: Text | None = None
    permissions: tuple[DevicePermission, ...] = ()


class Tmpfs(Shape):
    """A file system in memory; ``size`` in MiB."""

    container_path: Text
    size: Whole
    mount_options: Texts = ()


class LinuxParameters(Shape):
    """Sizes in MiB."""

    capabilities: Capabilities = Capabilities()
    devices: tuple[Device, ...] = ()
    init_process_enabled: Flag = False
    shared_memory_size: Whole | None = None
    tmpfs: tuple[Tmpfs, ...] = ()
    max_swap: Whole | None = None
    swappiness: Whole | None = None


class Ulimit(Shape):
    """A resource limit by its setrlimit(2) name, in lower case."""

    name: Literal[
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
        "rss", "rtprio", "rttime", "sigpending", "stack",
    ]  # fmt: skip
    soft_limit: Whole
    hard_limit: Whole


class Secret(Shape):
    """An environment variable or log option whose value is kept elsewhere."""

    name: Text
    value_from: Text


class LogConfiguration(Shape):
    """Where the output goes."""

    log_driver: Literal[
        "json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens",
        "none",
    ]  # fmt: skip
    options: TextMap = Field(default_factory=dict)
    secret_options: tuple[Secret, ...] = ()


class FirelensConfiguration(Shape):
    """Makes the container the log router of its task."""

    type: Literal["fluentd", "fluentbit"]
    options: TextMap = Field(default_factory=dict)


class MountPoint(Shape):
    """A volume of the task inside the container."""

    source_volume: Text
    container_path: Text
    read_only: Flag = False


class VolumeFrom(Shape):
    """All mounts of another container."""

    source_container: Text
    read_only: Flag = False


class HostEntry(Shape):
    """One more line of /etc/hosts."""

    hostname: Text
    ip_address: Text


class SystemControl(Shape):
    """A sysctl of the container's own namespaces."""

    namespace: Text
    value: Text


class EnvironmentFile(Shape):
    """A file of variables in S3."""

    value: Text
    type: Literal["s3"]


class RepositoryCredentials(Shape):
    """The secret with the registry login."""

    credentials_parameter: Text


class NvidiaMps(Shape):
    """A share of a GPU."""

    memory: Whole
    max_compute_percent: Whole | None = None


class SharingStrategy(Shape):
    """How an accelerator is shared."""

    nvidia_mps: NvidiaMps | None = None


class ResourceRequirement(Shape):
    """GPUs or accelerators wanted."""

    type: Literal["GPU", "InferenceAccelerator", "NeuronDevice"]
    value: Text | None = None
    sharing_strategy: SharingStrategy | None = None


class ContainerDefinition(Shape):
    """One container of a task. Memory in MiB, CPU in units (1024 = one core), times in seconds.

    An empty ``entry_point`` or ``command`` means the image's own.
    """

    name: Text
    image: Text
    repository_credentials: RepositoryCredentials | None = None
    cpu: Whole = 0
    memory: Whole | None = None
    memory_reservation: Whole | None = None
    essential: Flag = True
    links: Texts = ()
    port_mappings: tuple[PortMapping, ...] = ()
    environment: tuple[KeyValuePair, ...] = ()
    environment_files: tuple[EnvironmentFile, ...] = ()
    secrets: tuple[Secret, ...] = ()
    entry_point: Texts = ()
    command: Texts = ()
    working_directory: Text | None = None
    user: Text | None = None
    hostname: Text | None = None
    dns_servers: Texts = ()
    dns_search_domains: Texts = ()
    extra_hosts: tuple[HostEntry, ...] = ()
    disable_networking: Flag = False
    interactive: Flag = False
    pseudo_terminal: Flag = False
    privileged: Flag = False
    readonly_root_filesystem: Flag = False
    docker_labels: TextMap = Field(default_factory=dict)
    docker_security_options: Texts = ()
    credential_specs: Texts = ()
    ulimits: tuple[Ulimit, ...] = ()
    system_controls: tuple[SystemControl, ...] = ()
    linux_parameters: LinuxParameters = LinuxParameters()
    health_check: HealthCheck | None = None
    depends_on: tuple[Dependency, ...] = ()
    start_timeout: Whole | None = None
    stop_timeout: Whole | None = None
    restart_policy: RestartPolicy | None = None
    mount_points: tuple[MountPoint, ...] = ()
    volumes_from: tuple[VolumeFrom, ...] = ()
    log_configuration: LogConfiguration | None = None
    firelens_configuration: FirelensConfiguration | None = None
    resource_requirements: tuple[ResourceRequirement, ...] = ()
    version_consistency: Literal["enabled", "disabled"] = "enabled"
