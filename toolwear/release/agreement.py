"""What is served and what the registry says: one sentence where they differ, one way to mend it.

A move of ours writes the audit log, the registry's alias, and then the servers' pointer. If log and
pointer agree and the registry does not, it was changed by other means, such as MLflow's page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.model.package import Package, load_package
from toolwear.release import audit_log
from toolwear.release import champion as pointer
from toolwear.release import registry as tags
from toolwear.release.champion import Champion
from toolwear.release.named import Named, logged
from toolwear.release.registry import CHAMPION, Registry, Version, mlflow_module
from toolwear.workspace.home import Home

COMMAND = "toolwear reconcile"


def served(home: Home, name: str) -> Champion | None:
    """Return what servers are told to serve of a model; None also if the pointer is broken."""
    try:
        found = pointer.read(home.root)
    except ToolwearError:  # the next move writes it anew
        return None
    return found if found is not None and found.name == name else None


def disagreement(registry: Registry) -> str:
    """Return one sentence that says how registry and servers differ, empty if they agree."""
    present, champion = served(registry.home, registry.name), registry.at(CHAMPION)
    if present is None:
        if champion is None:
            return ""
        return (
            f"The registry's champion is version {champion.number}, and no server is told to "
            f"serve it; `{COMMAND} --why ...` has it served."
        )
    said = _said(present, champion)
    if said and _pointed(present) == logged(registry.home, registry.name):
        return f"Version {present.version} is served, and {said}; {_mend(present, champion)}"
    try:
        pointer.check(registry.home, present)
    except ToolwearError as error:
        return str(error)
    return ""


def use_and_faults(registry: Registry, digest: str) -> tuple[str, str]:
    """Return what a package is for, "unknown" if it is faulty, and the sentence on what differs."""
    differs = disagreement(registry)
    try:
        package = load_package(registry.home.packages / digest)
    except ToolwearError as error:  # told beside what is served, which it does not change
        return "unknown", differs or str(error)
    return str(package.description["use"]), differs


def only_the_pointer_differs(registry: Registry) -> bool:
    """Tell whether audit log and registry agree on another champion than servers are told of."""
    present, champion = served(registry.home, registry.name), registry.at(CHAMPION)
    if present is None or champion is None:
        return False
    registered = Named(champion.number, champion.tags.get(tags.PACKAGE, ""))
    return registered == logged(registry.home, registry.name) != _pointed(present)


def changed_by_hand(registry: Registry) -> str:
    """Return the sentence of `disagreement` unless a move of ours that was cut off explains it."""
    present = served(registry.home, registry.name)
    log = audit_log.moves_of(audit_log.entries(registry.home), registry.name)
    if present is None or not log or cut_off(log, present):
        return ""
    return disagreement(registry)


def cut_off(log: Sequence[Mapping[str, Any]], present: Champion | None) -> bool:
    """Tell whether the log's last move is one that servers were not told of."""
    if present is None:
        return bool(log)
    return bool(log) and log[-1]["to"] != present.version == log[-1]["from"]


def _pointed(present: Champion) -> Named:
    return Named(present.version, present.package_digest)


def _said(present: Champion, champion: Version | None) -> str:
    if champion is None:
        return "the registry has no champion: its alias, version or model was deleted"
    if champion.number != present.version:
        return f"the registry's champion is version {champion.number}"
    package = champion.tags.get(tags.PACKAGE)
    if package is None:
        return f"the registry's version {champion.number} lacks the tag {tags.PACKAGE}"
    if package != present.package_digest:
        return f"the registry's version {champion.number} has another package, {package[:12]}"
    return ""


def _mend(present: Champion, champion: Version | None) -> str:
    keep = f"`{COMMAND} --why ...` makes version {present.version} champion in the registry again"
    if champion is None or champion.number == present.version:
        return f"{keep}."
    return f"{keep}, with --serve-registered version {champion.number} is served."


def keep_served(registry: Registry, present: Champion) -> Version:
    """Make what is served the registry's champion; return its version, a new one if it was deleted.

    Raises:
        ToolwearError: the package that is served is gone or was changed.
    """
    package = load_package(registry.home.packages / present.package_digest)
    _ensure_model(registry)
    version = _same(registry, present) or registry.with_package(package.digest)
    if version is None:
        version = _register(registry, package)
    registry.move(CHAMPION, version)
    return version


def _same(registry: Registry, present: Champion) -> Version | None:
    """Return the version that is served, with tags that were taken away; None if it is another."""
    exceptions = mlflow_module().exceptions
    try:
        found = registry.client.get_model_version(registry.name, present.version)
    except exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    known = found.tags.get(tags.PACKAGE) or present.package_digest
    is_another = known != present.package_digest
    if is_another and (registry.home.packages / known).is_dir():
        return None
    for key, value in ((tags.PACKAGE, present.package_digest), (tags.COMPLETE, "true")):
        if found.tags.get(key) != value:
            registry.client.set_model_version_tag(registry.name, present.version, key, value)
    return registry.version(present.version)


def _ensure_model(registry: Registry) -> None:
    if not registry.client.search_registered_models(f"name = '{registry.name}'"):
        registry.client.create_registered_model(registry.name)


def _register(registry: Registry, package: Package) -> Version:
    about = package.description
    values = {
        tags.MODEL: registry.name,
        tags.HOME: registry.home.root,
        tags.PACKAGE: package.digest,
        tags.MODEL_SHA256: package.model_sha256,
        tags.USE: about["use"],
        tags.DATA: about["data_digest"],
        tags.COMMIT: about["commit"],
        tags.GRAPH: about["graph_digest"],
        tags.SEED: about["seed"],
        tags.COMPLETE: "true",
    }
    made = registry.client.create_model_version(
        registry.name,
        package.folder.as_uri(),
        tags={key: str(value) for key, value in values.items()},
        description="Registered again from its package: its version was deleted.",
    )
    return registry.version(str(made.version))
