"""The table of permissions, the Roles of the manifests and the code that asks the API server say the same."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.kinds import Kind
from fairlead.platform.kubeflow.permissions import ACCOUNTS, FAMILIES, KSERVE_READER, OPERATOR, Permission, granted

ROOT = Path(__file__).resolve().parents[3]
CODE = ROOT / "components" / "fairlead" / "platform" / "kubeflow"
MODULES = {  # who asks the API server, for which family
    "tuning": ("experiments", "followed", "diagnosis"),
    "training": ("train_jobs", "followed", "diagnosis"),
    "deployment": (
        "charge", "edge", "knative", "modes", "pods", "records", "router", "scrape", "services", "serving", "standard",
        "target", "warden",
    ),
}  # fmt: skip
WRITTEN = {  # what modules write of which the call itself names no kind
    "charge": (kinds.LEASE,), "knative": (kinds.INFERENCE_SERVICE,), "records": (kinds.CONFIG_MAP,),
    "services": (kinds.CONFIG_MAP,), "standard": (kinds.INFERENCE_SERVICE, kinds.HTTP_ROUTE),
    "serving": (),  # everybody may ask who he is
}  # fmt: skip
FOLLOWED = {"tuning": kinds.EXPERIMENT, "training": kinds.TRAIN_JOB}  # whose objects `followed` makes and looks at
VERBS = {  # what a method of Cluster asks of the API server; applying needs both, for the object may not be there
    "get": "get", "list": "list", "create": "create", "replace": "update", "apply": "patch create", "patch": "patch",
    "delete": "delete",
}  # fmt: skip
OTHERS = {
    "events": Permission("list", kinds.EVENT),
    "logs": Permission("get", kinds.POD, "log"),
    "proxy": Permission("get", kinds.POD, "proxy"),
}
# In KServe's namespace, by fairlead-kserve-reader, where only the configuration's name is allowed; and in that of the
# gateway, where the account may do without: `edge` then leaves the gateway's own counters out.
ELSEWHERE = {
    ("modes", Permission("get", kinds.CONFIG_MAP)), ("modes", Permission("get", kinds.GATEWAY)),
    ("edge", Permission("list", kinds.POD)),
}  # fmt: skip


def asked(module: str, family: str) -> Iterator[Permission]:
    """What a module asks the API server, read from its source: methods of `cluster`, and the kinds that they name."""
    calls: dict[int, ast.Call] = {}
    tree = ast.parse((CODE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls[id(node.func)] = node
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_cluster(node.value):
            if node.attr in OTHERS:
                yield OTHERS[node.attr]
            elif node.attr in VERBS:
                for kind in _kinds(module, family, calls.get(id(node))):
                    yield from (Permission(verb, kind) for verb in VERBS[node.attr].split())


def _is_cluster(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in {"cluster", "_cluster"}


def _kinds(module: str, family: str, call: ast.Call | None) -> tuple[Kind, ...]:
    first = call.args[0] if call is not None and call.args else None
    named = getattr(kinds, first.id, None) if isinstance(first, ast.Name) else None
    if isinstance(named, Kind):
        return (named,)
    return (FOLLOWED[family],) if module == "followed" else WRITTEN[module]


@pytest.mark.parametrize("family", MODULES)
def test_the_table_is_what_the_code_asks(family: str) -> None:
    """No permission that no code uses, and no code that was forgotten."""
    used = {
        permission
        for module in MODULES[family]
        for permission in asked(module, family)
        if (module, permission) not in ELSEWHERE and permission not in OPERATOR[len(FAMILIES["deployment"]) :]
    }
    assert {str(p) for p in used} == {str(p) for p in FAMILIES[family]}


def test_every_module_that_asks_is_in_a_family() -> None:
    """A new module whose calls nobody counted would make the table a lie."""
    known = {module for modules in MODULES.values() for module in modules}
    known |= {"api", "inventory"}  # the API itself; what the doctor reads, under the rights of whoever calls it
    for file in (ROOT / "components" / "fairlead").rglob("*.py"):
        tree = ast.parse(file.read_text())
        asks = any(
            isinstance(n, ast.Attribute) and n.attr in {*VERBS, *OTHERS} and _is_cluster(n.value)
            for n in ast.walk(tree)
        )
        assert not asks or (file.stem in known and file.parent == CODE), file


@pytest.mark.parametrize("family", FAMILIES)
def test_the_role_is_the_table(family: str) -> None:
    """manifests/base/permissions grants exactly what the table says."""
    role = _role(ROOT / "manifests" / "base" / "permissions" / f"{family}.yaml", f"fairlead-{family}")
    assert role == sorted(str(permission) for permission in FAMILIES[family])


def test_the_other_roles_are_the_table_too() -> None:
    """The Role in KServe's namespace, and that of people who promote."""
    manifests = ROOT / "manifests"
    reader = _role(manifests / "kserve-reader" / "reader.yaml", "fairlead-kserve-reader")
    assert reader == sorted(str(p) for p in KSERVE_READER)
    operator = _role(manifests / "base" / "permissions" / "people.yaml", "fairlead-operator")
    assert operator == sorted(str(p) for p in OPERATOR)


def _role(file: Path, name: str) -> list[str]:
    """What a Role grants, in the words of the table."""
    (role,) = [
        found
        for found in yaml.safe_load_all(file.read_text())
        if found["kind"] == "Role" and found["metadata"]["name"] == name
    ]
    return sorted(
        f"{verb} {resource}{f'.{group}' if group else ''}{f' {one}' if one else ''}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for one in rule.get("resourceNames", [""])
    )


def test_accounts_have_the_families_that_bindings_give_them() -> None:
    """The table of accounts is the subjects of the RoleBindings."""
    bound: dict[str, set[str]] = {account: set() for account in ACCOUNTS}
    for family in FAMILIES:
        text = (ROOT / "manifests" / "base" / "permissions" / f"{family}.yaml").read_text()
        for document in yaml.safe_load_all(text):
            if document["kind"] == "RoleBinding":
                for subject in document["subjects"]:
                    bound[subject["name"]].add(family)
    assert bound == {account: set(families) for account, families in ACCOUNTS.items()}


def test_granted_names_each_permission_once() -> None:
    """Families share permissions; an account that has several has them once."""
    found = list(granted("fairlead-run"))
    assert len(found) == len(set(found))
    assert set(found) == {p for family in FAMILIES.values() for p in family}
    assert list(granted("fairlead-serving")) == []
