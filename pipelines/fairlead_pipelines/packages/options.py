"""Puts an overlay's options into a package: containers, tasks, and what kfp-kubernetes writes beside them."""

from typing import TYPE_CHECKING, Any, cast

from kfp import kubernetes
from kfp.dsl.structures import RetryPolicy
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from fairlead_pipelines.packages.images import set_variable
from fairlead_pipelines.packages.overlay import Options, Overlay, Scratch
from fairlead_pipelines.packages.package import KUBERNETES, Package, tasks_of
from fairlead_pipelines.packages.quantities import cores, size

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

_GIGABYTE = 1e9
_SCRATCH = "fairlead-scratch"


class _Settings:
    """Stands for the task that kfp-kubernetes' functions configure; they touch nothing of it but this."""

    def __init__(self, executor: dict[str, Any]) -> None:
        self.platform_config: dict[str, Any] = {KUBERNETES: executor} if executor else {}

    @property
    def executor(self) -> dict[str, Any]:
        return dict(self.platform_config.get(KUBERNETES, {}))


def with_overlay(package: Package, overlay: Overlay) -> Package:
    """Configures every step of a package as an overlay says.

    Args:
        package: The package.
        overlay: The overlay.

    Returns:
        The configured package.

    Raises:
        ConfigurationError: The overlay has an entry for what is no component.
    """
    overlay.check_names(package.components)
    deployment = pb.PipelineDeploymentConfig()
    deployment.CopyFrom(package.deployment)
    platform = dict(package.kubernetes)
    options = {executor.label: overlay.options(executor.component) for executor in package.executors()}
    for label, wanted in options.items():
        _configure_container(deployment.executors[label].container, wanted)
        settings = _Settings(dict(platform.get(label, {})))
        _configure_pod(cast("PipelineTask", settings), wanted)
        if settings.executor:
            platform[label] = settings.executor
    configured = package.with_deployment(deployment, platform)
    for _, task, label in tasks_of(configured.spec):
        if label in options:
            _configure_task(task, options[label])
    return configured


def _configure_container(container: pb.PipelineDeploymentConfig.PipelineContainerSpec, options: Options) -> None:
    for name, value in options.env.items():
        if value is not None:
            set_variable(container, name, value)
    resources = container.resources
    if options.cpu and options.cpu.request:
        resources.resource_cpu_request, resources.cpu_request = options.cpu.request, cores(options.cpu.request)
    if options.cpu and options.cpu.limit:
        resources.resource_cpu_limit, resources.cpu_limit = options.cpu.limit, cores(options.cpu.limit)
    if options.memory and options.memory.request:
        resources.resource_memory_request = options.memory.request
        resources.memory_request = size(options.memory.request) / _GIGABYTE  # what older servers read
    if options.memory and options.memory.limit:
        resources.resource_memory_limit = options.memory.limit
        resources.memory_limit = size(options.memory.limit) / _GIGABYTE
    if options.gpu:
        accelerator, count = resources.accelerator, options.gpu.count
        accelerator.resource_type = accelerator.type = options.gpu.resource
        accelerator.resource_count, accelerator.count = str(count), count


def _configure_task(task: pb.PipelineTaskSpec, options: Options) -> None:
    if options.caching is False:
        task.caching_options.Clear()
        task.caching_options.enable_cache = False
    if options.retries:
        policy = RetryPolicy(
            max_retry_count=options.retries.times,
            backoff_duration=f"{options.retries.wait_seconds}s",
            backoff_factor=options.retries.factor,
            backoff_max_duration=f"{options.retries.longest_seconds}s",
        )
        task.retry_policy.CopyFrom(policy.to_proto())


def _configure_pod(task: "PipelineTask", options: Options) -> None:
    _give_sources(task, options)
    if options.scratch:
        _give_scratch(task, options.scratch)
    for name, claim in options.claims.items():
        if claim:
            kubernetes.mount_pvc(task, pvc_name=name, mount_path=claim.mount, sub_path=claim.sub_path)
    _place(task, options)
    for name, value in _kept(options.labels):
        kubernetes.add_pod_label(task, name, value)
    for name, value in _kept(options.annotations):
        kubernetes.add_pod_annotation(task, name, value)
    if options.timeout_seconds:
        kubernetes.set_timeout(task, options.timeout_seconds)
    if options.pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(options.pull_secrets))
    if options.pull_policy:
        kubernetes.set_image_pull_policy(task, options.pull_policy)
    if options.run_as:
        run_as = options.run_as
        kubernetes.set_security_context(
            task, run_as_user=run_as.user, run_as_group=run_as.group, run_as_non_root=run_as.non_root
        )


def _give_sources(task: "PipelineTask", options: Options) -> None:
    for name, source in options.secrets.items():
        if source and source.env:
            kubernetes.use_secret_as_env(task, name, dict(source.env), optional=source.optional)
        if source and source.optional_env:
            kubernetes.use_secret_as_env(task, name, dict(source.optional_env), optional=True)
        if source and source.mount:
            kubernetes.use_secret_as_volume(task, name, source.mount, optional=source.optional)
    for name, source in options.config_maps.items():
        if source and source.env:
            kubernetes.use_config_map_as_env(task, name, dict(source.env), optional=source.optional)
        if source and source.optional_env:
            kubernetes.use_config_map_as_env(task, name, dict(source.optional_env), optional=True)
        if source and source.mount:
            kubernetes.use_config_map_as_volume(task, name, source.mount, optional=source.optional)


def _give_scratch(task: "PipelineTask", scratch: Scratch) -> None:
    if scratch.storage_class is None:
        kubernetes.empty_dir_mount(
            task, _SCRATCH, scratch.mount, medium="Memory" if scratch.memory else None, size_limit=scratch.size
        )
    else:
        kubernetes.add_ephemeral_volume(
            task, _SCRATCH, scratch.mount, ["ReadWriteOnce"], scratch.size, scratch.storage_class or None
        )


def _place(task: "PipelineTask", options: Options) -> None:
    for name, value in _kept(options.node_selector):
        kubernetes.add_node_selector(task, name, value)
    for bears in options.tolerations:
        kubernetes.add_toleration(
            task, bears.key or None, bears.operator, bears.value or None, bears.effect, bears.seconds
        )


def _kept(entries: dict[str, str | None]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in entries.items() if value is not None]
