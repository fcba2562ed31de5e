"""deploy/helm/esmkit: what it renders fits the server, the image and Kubernetes; wrong values are refused.

What needs `helm` runs where it is on the PATH, or where ESMKIT_HELM names it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from esmkit import __version__
from esmkit.server import metrics
from esmkit.server.process import WRITE_S
from esmkit.server.routes_service import router
from esmkit.server.settings import ServerSettings

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "esmkit"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VARIANTS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
TEMPLATES = "\n".join(path.read_text() for path in sorted(CHART.rglob("*.yaml")) + sorted(CHART.rglob("*.tpl")))
HELM = os.environ.get("ESMKIT_HELM") or shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not on the PATH, and ESMKIT_HELM does not name it")

Manifest = dict[str, Any]


def variant(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(HELM), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rendered() -> dict[str, dict[str, Manifest]]:
    """Per variant, what it renders by kind."""
    found = {}
    for name in VARIANTS:
        run = helm("template", "lab", str(CHART), "--namespace", "esm", "-f", str(CHART / "ci" / f"{name}-values.yaml"))
        assert run.returncode == 0, run.stderr
        found[name] = {each["kind"]: each for each in yaml.safe_load_all(run.stdout) if each}
    return found


def pods(kinds: dict[str, Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each pod of a variant is for, and its spec."""
    yield "test", kinds["Pod"]["spec"]
    if "Deployment" in kinds:
        yield "server", kinds["Deployment"]["spec"]["template"]["spec"]
    else:
        cluster = kinds["RayService"]["spec"]["rayClusterConfig"]
        yield "head", cluster["headGroupSpec"]["template"]["spec"]
        for group in cluster["workerGroupSpecs"]:
            yield "worker", group["template"]["spec"]


def test_the_chart_installs_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


def test_values_and_schema_say_the_same_and_all_variants_are_valid() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)
    validator = jsonschema_rs.validator_for(SCHEMA)
    for values in (VALUES, *(variant(name) for name in VARIANTS)):
        assert [error.message for error in validator.iter_errors(values)] == []
    assert VARIANTS == ["gpu-hpa", "keda", "plain", "rayservice"]


@pytest.mark.parametrize(
    "values",
    [
        {"replcas": 2},
        {"mode": "statefulset"},
        {"config": {"models": []}},
        {"config": {"models": ["esm2-8m"], "port": 80}},
        {"config": {"models": ["esm2-8m"], "database_url": "postgresql://esmkit:secret@postgres/esmkit"}},
        {"config": {"models": ["esm2-8m"], "limits_storage_url": "redis://:secret@redis:6379"}},
        {"autoscaling": {"minReplicas": 0}},
        {"image": {"repository": ""}},
    ],
)
def test_the_schema_refuses_what_cannot_be_meant(values: dict[str, Any]) -> None:
    assert not jsonschema_rs.validator_for(SCHEMA).is_valid(values)


def test_every_setting_that_the_chart_names_exists() -> None:
    variables = {each.removesuffix("_FILE").lower() for each in re.findall(r"\bESMKIT_([A-Z_]+[A-Z])", TEMPLATES)}
    named = set(variables) - {"config", "offline", "home"} | set(VALUES["config"])
    for name in VARIANTS:
        values = variant(name)
        named |= set(values.get("config", {})) | set(values.get("secrets", {}).get("settings", {}))
    assert named - set(ServerSettings.names()) == set()


def test_metrics_that_scale_and_paths_of_probes_are_those_of_the_server() -> None:
    assert (
        set(re.findall(r"esmkit_(?:queue|tokens)_\w+", TEMPLATES)) == {"esmkit_queue_tokens"} <= set(metrics._PER_MODEL)
    )
    paths = {getattr(route, "path", None) for route in router.routes}
    named = set(re.findall(r"path: (/[a-z/]+)", TEMPLATES)) - {"/api/healthz"}  # Ray's own
    assert named == {"/health/live", "/health/ready", "/metrics"} <= paths


@needs_helm
@pytest.mark.parametrize("name", VARIANTS)
def test_helm_finds_nothing_to_say(name: str) -> None:
    run = helm("lint", "--strict", "--quiet", str(CHART), "-f", str(CHART / "ci" / f"{name}-values.yaml"))
    assert (run.returncode, run.stderr) == (0, "")


@needs_helm
@pytest.mark.parametrize("name", VARIANTS)
def test_every_pod_is_hardened(name: str, rendered: dict[str, dict[str, Manifest]]) -> None:
    for role, spec in pods(rendered[name]):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 10001  # of the image, see test_deploy
        for container in spec["containers"] + spec.get("initContainers", []):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} == set(container["resources"])
        # Ray's autoscaler asks the API server for nodes, with the account that KubeRay makes for it.
        assert ("automountServiceAccountToken" in spec) == (role != "head")
        assert spec.get("automountServiceAccountToken", False) is False
    assert rendered[name]["ServiceAccount"]["automountServiceAccountToken"] is False


@needs_helm
@pytest.mark.parametrize("name", VARIANTS)
def test_the_server_takes_its_configuration_and_finds_its_secrets(
    name: str, rendered: dict[str, dict[str, Manifest]], tmp_path: Path
) -> None:
    toml = tmp_path / "esmkit.toml"
    toml.write_text(rendered[name]["ConfigMap"]["data"]["esmkit.toml"])
    settings = ServerSettings.resolve({}, {}, path=toml)
    asked = {**VALUES["config"], **variant(name).get("config", {})}
    assert {setting: settings.shown()[setting] for setting in asked} == asked
    for role, spec in pods(rendered[name]):
        if role == "test":
            continue
        container = spec["containers"][0]
        files = {each["value"] for each in container["env"] if each["name"].endswith("_FILE")}
        secret = next((volume["secret"] for volume in spec["volumes"] if volume["name"] == "secrets"), {"items": []})
        assert files == {f"/run/secrets/esmkit/{item['path']}" for item in secret["items"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


@needs_helm
@pytest.mark.parametrize("name", VARIANTS)
def test_pods_get_the_time_to_drain_and_the_image_of_their_kind(
    name: str, rendered: dict[str, dict[str, Manifest]]
) -> None:
    image = {"plain": "cpu", "keda": "cpu", "gpu-hpa": "cuda", "rayservice": "cuda-ray"}[name]
    least_s = VALUES["preStopSeconds"] + VALUES["config"]["drain_timeout_s"] + WRITE_S
    for role, spec in pods(rendered[name]):
        assert spec["containers"][0]["image"].endswith(f"esmkit:{__version__}-{image}")
        if role in ("server", "worker"):
            assert spec["terminationGracePeriodSeconds"] > least_s
            assert ("nvidia.com/gpu" in spec["containers"][0]["resources"]["limits"]) == ("cuda" in image)


@needs_helm
def test_scaling_is_left_to_one_controller(rendered: dict[str, dict[str, Manifest]]) -> None:
    hpa = rendered["gpu-hpa"]["HorizontalPodAutoscaler"]["spec"]
    assert hpa["metrics"][0]["pods"]["metric"]["name"] == "esmkit_queue_tokens"
    assert hpa["metrics"][0]["pods"]["target"]["averageValue"] == "262144"
    assert rendered["keda"]["ScaledObject"]["spec"]["triggers"][0]["metadata"]["query"] == (
        'sum(esmkit_queue_tokens{namespace="esm",service="lab-esmkit"})'
    )
    replicas = {name: kinds["Deployment"]["spec"].get("replicas") for name, kinds in rendered.items() if name[0] != "r"}
    assert replicas == {"gpu-hpa": None, "keda": None, "plain": 1}
    assert rendered["plain"]["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}  # its volume is on one node
    assert rendered["gpu-hpa"]["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@needs_helm
def test_selectors_find_the_pods(rendered: dict[str, dict[str, Manifest]]) -> None:
    for name, kinds in rendered.items():
        selectors = [kinds[kind]["spec"]["selector"]["matchLabels"] for kind in ("PodDisruptionBudget",)]
        policy = kinds["NetworkPolicy"]["spec"]["podSelector"]
        selectors.append(policy["matchLabels"])
        assert policy["matchExpressions"][0]["values"] == ["test"]  # the pod of `helm test` may call the server
        if name == "rayservice":
            template = kinds["RayService"]["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]
        else:
            template = kinds["Deployment"]["spec"]["template"]
            selectors += [kinds["Deployment"]["spec"]["selector"]["matchLabels"], kinds["Service"]["spec"]["selector"]]
            assert kinds["Pod"]["metadata"]["labels"].items() >= kinds["Deployment"]["metadata"]["labels"].items()
            assert kinds["Pod"]["metadata"]["labels"]["app.kubernetes.io/component"] == "test"  # not of the service
        for selector in selectors:
            assert selector.items() <= template["metadata"]["labels"].items(), name


@needs_helm
def test_the_ray_application_is_there_to_import(rendered: dict[str, dict[str, Manifest]]) -> None:
    (application,) = yaml.safe_load(rendered["rayservice"]["RayService"]["spec"]["serveConfigV2"])["applications"]
    module, _, name = application["import_path"].partition(":")
    pytest.importorskip("ray", reason="esmkit[cluster] is not installed")
    assert callable(getattr(import_module(module), name))


@needs_helm
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["replicas=2"], "several servers need one database"),
        (["autoscaling.kind=hpa"], "several servers need one database"),
        (
            ["replicas=2", "secrets.existingSecret=s", "secrets.settings.database_url=u"],
            "several servers share",
        ),
        (["secrets.settings.database_url=u"], "name it with secrets.existingSecret"),
        (["serviceMonitor.enabled=true"], "/metrics asks for an admin key"),
        (["replcas=2"], "replcas"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_reason(settings: list[str], reason: str) -> None:
    run = helm("template", str(CHART), *(argument for each in settings for argument in ("--set", each)))
    assert run.returncode != 0
    assert reason in run.stderr


@needs_helm
def test_kubernetes_accepts_every_manifest_of_its_own_kinds(rendered: dict[str, dict[str, Manifest]]) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    theirs = {"RayService", "ScaledObject", "ServiceMonitor"}  # kinds of operators
    checked = 0
    for kinds in rendered.values():
        for kind in set(kinds) - theirs:
            for version in ("1.27", kubernetes.latest_version()):
                kubernetes.validate(kinds[kind], version, strict=True)
                checked += 1
    assert checked >= 60
