"""Overlays: what they put into packages is what the SDK's own calls would; what they cannot say is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from fairlead.errors import ConfigurationError
from fairlead_pipelines.packages import package as packages
from fairlead_pipelines.packages.compilation import compile_for
from fairlead_pipelines.packages.families import COMPONENTS, OUTWARD, ServiceAccounts, account_for
from fairlead_pipelines.packages.images import with_registry
from fairlead_pipelines.packages.options import with_overlay
from fairlead_pipelines.packages.overlay import Options, Overlay, load_overlay, names

IMAGE = "fairlead-base:1.2.3"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count_rows(text: str) -> int:
    """Counts."""
    return len(text)


@dsl.component(base_image="example.org/other:7", install_kfp_package=False)
def show_count(count: int) -> str:
    """Shows."""
    return str(count)


EVERYTHING: dict[str, Any] = {
    "env": {"TMPDIR": "/scratch"},
    "secrets": {
        "keys": {"env": {"access": "AWS_ACCESS_KEY_ID"}, "optional_env": ["AWS_REGION"]},
        "signing": {"mount": "/etc/signing", "optional": True},
    },
    "config_maps": {"place": {"env": ["FAIRLEAD_OBJECT_STORE"]}, "features": {"mount": "/etc/features"}},
    "claims": {"data": {"mount": "/data", "sub_path": "rows"}},
    "scratch": {"mount": "/scratch", "size": "20Gi"},
    "cpu": {"request": "500m", "limit": "2"},
    "memory": {"request": "512Mi", "limit": "4Gi"},
    "gpu": {"resource": "nvidia.com/gpu", "count": 2},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "node_selector": {"pool": "large"},
    "retries": {"times": 3, "wait_seconds": 10, "factor": 1.5, "longest_seconds": 100},
    "caching": False,
    "timeout_seconds": 600,
    "run_as": {"user": 1000, "group": 1000, "non_root": True},
    "labels": {"team": "rows"},
    "annotations": {"note": "x"},
    "pull_secrets": ["images"],
    "pull_policy": "IfNotPresent",
}


def by_the_sdk(task: dsl.PipelineTask) -> None:
    """The same as EVERYTHING, said by the SDK's own calls."""
    task.set_env_variable("TMPDIR", "/scratch")
    task.set_cpu_request("500m").set_cpu_limit("2").set_memory_request("512Mi").set_memory_limit("4Gi")
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(2)
    task.set_retry(3, backoff_duration="10s", backoff_factor=1.5, backoff_max_duration="100s")
    task.set_caching_options(enable_caching=False)
    kubernetes.use_secret_as_env(task, "keys", {"access": "AWS_ACCESS_KEY_ID"})
    kubernetes.use_secret_as_env(task, "keys", {"AWS_REGION": "AWS_REGION"}, optional=True)
    kubernetes.use_secret_as_volume(task, "signing", "/etc/signing", optional=True)
    kubernetes.use_config_map_as_env(task, "place", {"FAIRLEAD_OBJECT_STORE": "FAIRLEAD_OBJECT_STORE"})
    kubernetes.use_config_map_as_volume(task, "features", "/etc/features")
    kubernetes.mount_pvc(task, "data", "/data", "rows")
    kubernetes.empty_dir_mount(task, "fairlead-scratch", "/scratch", size_limit="20Gi")
    kubernetes.add_toleration(task, "gpu", "Exists", effect="NoSchedule")
    kubernetes.add_node_selector(task, "pool", "large")
    kubernetes.set_timeout(task, 600)
    kubernetes.set_security_context(task, run_as_user=1000, run_as_group=1000, run_as_non_root=True)
    kubernetes.add_pod_label(task, "team", "rows")
    kubernetes.add_pod_annotation(task, "note", "x")
    kubernetes.set_image_pull_secrets(task, ["images"])
    kubernetes.set_image_pull_policy(task, "IfNotPresent")


def compiled(folder: Path, *, configured: bool) -> packages.Package:
    """Two steps, compiled; the first configured by the SDK's calls."""

    @dsl.pipeline(name="rows")
    def rows(text: str = "x") -> None:
        counted = count_rows(text=text)
        show_count(count=counted.output)
        if configured:
            by_the_sdk(counted)

    file = folder / "rows.yaml"
    compiler.Compiler().compile(rows, str(file))
    return packages.read(file)


def test_overlay_is_what_the_sdk_would_write(tmp_path: Path) -> None:
    """Every option, against a pipeline in which the SDK's calls say the same: the packages are equal, byte for byte."""
    overlay = Overlay.parse({"components": {"count_rows": EVERYTHING}}, "overlay")
    ours = with_overlay(compiled(tmp_path, configured=False), overlay)
    assert ours.text() == compiled(tmp_path, configured=True).text()


@pytest.mark.parametrize(
    ("scratch", "call"),
    [
        ({"size": "1Gi", "memory": True}, ("empty_dir_mount", {"medium": "Memory", "size_limit": "1Gi"})),
        ({"size": "1Gi", "storage_class": "fast"}, ("add_ephemeral_volume", {"storage_class_name": "fast"})),
        ({"size": "1Gi", "storage_class": ""}, ("add_ephemeral_volume", {"storage_class_name": None})),
    ],
)
def test_scratch_in_memory_and_on_volumes(
    tmp_path: Path, scratch: dict[str, Any], call: tuple[str, dict[str, Any]]
) -> None:
    """Scratch may be memory, a class of volumes, or the cluster's default class."""
    overlay = Overlay.parse({"components": {"count_rows": {"scratch": scratch}}}, "overlay")
    ours = with_overlay(compiled(tmp_path, configured=False), overlay).kubernetes["exec-count-rows"]
    task = dsl.PipelineTask.__new__(dsl.PipelineTask)
    task.platform_config = {}
    name, options = call
    if name == "add_ephemeral_volume":
        options = {**options, "access_modes": ["ReadWriteOnce"], "size": "1Gi"}
    getattr(kubernetes, name)(task, "fairlead-scratch", "/scratch", **options)
    assert ours == task.platform_config["kubernetes"]


def test_narrower_entries_count_more() -> None:
    """A component's entry counts more than its stage's, that more than all's; maps merge, null takes away."""
    overlay = Overlay.parse(
        {
            "components": {
                "*": {
                    "cpu": {"limit": "1"},
                    "env": {"A": "1", "B": "1"},
                    "secrets": {"s": {"env": ["K"]}},
                    "labels": {"a": "b"},
                },
                "training": {"cpu": {"limit": "4"}, "env": {"B": "2"}, "tolerations": [{"operator": "Exists"}]},
                "train_model": {
                    "env": {"A": None},
                    "secrets": {"s": None},
                    "tolerations": [{"key": "gpu", "operator": "Exists"}],
                },
            }
        },
        "overlay",
    )
    found = overlay.options("train_model")
    assert found.cpu is not None
    assert found.cpu.limit == "4"
    assert found.env == {"A": None, "B": "2"}
    assert found.secrets == {"s": None}
    assert [bears.key for bears in found.tolerations] == ["", "gpu"]
    assert overlay.options("ingest_dataset").cpu == overlay.components["*"].cpu
    assert overlay.options("a_user_s_own").env == {"A": "1", "B": "1"}


@pytest.mark.parametrize(
    ("components", "told"),
    [
        ({"train_modle": {}}, "did you mean 'train_model'"),
        ({"trainig": {}}, "did you mean 'training'"),
        ({"*": {"secret": {}}}, "did you mean 'secrets'"),
        ({"*": {"secrets": {"s": {"evn": ["A"]}}}}, "did you mean 'env'"),
        ({"*": {"secrets": {"s": {}}}}, "say what of it the step gets"),
        ({"*": {"cpu": {"request": "2", "limit": "500m"}}}, "above the limit"),
        ({"*": {"memory": {"request": "2Gi", "limit": "2G"}}}, "above the limit"),
        ({"*": {"memory": {"limit": "1.5Gi"}}}, "is no size"),
        ({"*": {"cpu": {"limit": "two"}}}, "is no amount of CPU"),
        ({"*": {"scratch": {"size": "lots"}}}, "is no size"),
        ({"*": {"scratch": {"size": "1Gi", "memory": True, "storage_class": ""}}}, "either in memory or on a volume"),
        ({"*": {"caching": True}}, "can only be turned off"),
        ({"*": {"tolerations": [{"value": "x"}]}}, "needs operator Exists"),
        ({"*": {"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}}, "has no value"),
        ({"*": {"env": {"not a name": "x"}}}, "components"),
        ({"*": {"run_as": {"user": 0}}}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, components: dict[str, Any], told: str) -> None:
    """Wrong keys get the nearest right one; wrong values what is allowed."""
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"components": components}))
    with pytest.raises(ConfigurationError, match=told):
        with_overlay(compiled(tmp_path, configured=False), load_overlay(str(file)))


@pytest.mark.parametrize("content", ["", "- a", "a: [", "registry: UPPER"])
def test_no_overlay(tmp_path: Path, content: str) -> None:
    """A file that is no overlay is refused with its name."""
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"mine\.yaml"):
        load_overlay(str(file))


def test_registry_is_put_before_our_images_alone(tmp_path: Path) -> None:
    """Our images get the prefix, and steps that create pods learn it; others keep their names."""
    plain = compiled(tmp_path, configured=False)
    placed = with_registry(plain, "registry.example.org:5000/team")
    images = {executor.component: executor.spec.image for executor in placed.executors()}
    assert images == {"count_rows": f"registry.example.org:5000/team/{IMAGE}", "show_count": "example.org/other:7"}
    env = {executor.component: [(v.name, v.value) for v in executor.spec.env] for executor in placed.executors()}
    assert env == {"count_rows": [("FAIRLEAD_IMAGE_REGISTRY", "registry.example.org:5000/team")], "show_count": []}
    assert with_registry(plain, "") == plain


def test_registry_comes_from_the_command_the_settings_or_the_overlay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command counts more than the settings, those more than the overlay; the command may say none."""
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("registry: of.overlay/x\n")
    assert compile_for("digits", str(overlay)).registry == "of.overlay/x"
    monkeypatch.setenv("FAIRLEAD_IMAGE_REGISTRY", "of.settings/x")
    assert compile_for("digits", str(overlay)).registry == "of.settings/x"
    assert compile_for("digits", str(overlay), "of.command/x").registry == "of.command/x"
    assert compile_for("digits", str(overlay), "").registry == ""


@pytest.mark.parametrize(
    ("components", "account"),
    [
        (["ingest_dataset", "evaluate_model", "register_model"], "p"),
        (["ingest_dataset", "tune_model"], "tu"),
        (["train_model", "export_model"], "tr"),
        (["fetch_model", "deploy_model", "roll_out_model"], "d"),
        (["train_model", "deploy_model"], "all"),
        (["a_user_s_own"], "p"),
    ],
)
def test_run_gets_the_least_account(components: list[str], account: str) -> None:
    """KFP gives a run one account: the least that can do what its steps do."""
    accounts = ServiceAccounts(pipeline="p", tuning="tu", training="tr", deployment="d", run="all")
    assert account_for(components, accounts) == account


def test_every_outward_component_exists() -> None:
    """The list of components that act on the outside names real ones."""
    assert set(COMPONENTS) >= OUTWARD


@pytest.mark.parametrize("name", names())
def test_shipped_overlay_names_what_the_manifests_have(name: str) -> None:
    """Names of secrets, config maps and accounts are the agreed ones; nothing secret stands in an overlay."""
    overlay = load_overlay(name)
    every = list(overlay.components.values())
    secrets = {secret for options in every for secret in options.secrets}
    assert secrets <= {"fairlead-s3", "fairlead-redis", "fairlead-registry", "fairlead-signing"}
    assert {each for options in every for each in options.config_maps} == {"fairlead-settings"}
    assert set(overlay.service_accounts.model_dump().values()) == {
        "fairlead-pipeline", "fairlead-tuning", "fairlead-training", "fairlead-deployment", "fairlead-run",
    }  # fmt: skip
    assert isinstance(overlay.components["*"], Options)


def test_command_writes_configured_packages(tmp_path: Path) -> None:
    """`fairlead compile --overlay` writes the same with any hash seed, and says which account runs need."""
    texts = []
    for seed in ("0", "1"):
        folder = tmp_path / seed
        command = [sys.executable, "-m", "fairlead_pipelines.command.main", "compile", "flights", "flights-release"]
        options = ["--overlay", "production", "--registry", "registry.example.org/f", "--out", str(folder)]
        ended = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=True, cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert "service account fairlead-run (tuning, training, deployment)" in ended.stderr
        assert "service account fairlead-deployment (deployment)" in ended.stderr
        texts.append((folder / "flights.yaml").read_text())
    assert texts[0] == texts[1]
    specification, platform = yaml.safe_load_all(texts[0])
    assert set(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == set(
        specification["deploymentSpec"]["executors"]
    )
