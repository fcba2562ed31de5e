"""What lies in deploy/: settings that exist, waits that fit together, nothing secret, an image that gets its files."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from esmkit.server.process import WRITE_S
from esmkit.server.settings import ServerSettings
from tests.server_process import ServedProcess

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())  # the chart is in helm/: test_helm.py
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()
NO_SETTINGS = {"ESMKIT_HOME", "ESMKIT_OFFLINE", "ESMKIT_CONFIG", "ESMKIT_NATIVE", "ESMKIT_TARGET"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return found


@pytest.fixture
def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(DEPLOY / "esmkit.service")
    return parser["Service"]


@pytest.fixture
def settings() -> ServerSettings:
    return ServerSettings.resolve({}, {}, path=DEPLOY / "esmkit.toml")


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_every_variable_of_esmkit_that_is_named_exists(name: str) -> None:
    known = {f"ESMKIT_{each.upper()}" for each in ServerSettings.names()}
    named = {each.removesuffix("_FILE") for each in re.findall(r"\bESMKIT_[A-Z_]+", (DEPLOY / name).read_text())}
    assert named <= known | NO_SETTINGS
    assert named or name == "healthcheck.py"


def test_the_settings_hold_commented_or_not(tmp_path: Path, settings: ServerSettings) -> None:
    text = (DEPLOY / "esmkit.toml").read_text()
    every = tmp_path / "every.toml"
    every.write_text(re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    shown = ServerSettings.resolve({}, {}, path=every)
    assert (shown.limits_storage_url, shown.trusted_proxies) == ("redis://redis:6379", "10.0.0.5")
    assert settings.models == ("esm2-mini",)


def test_service_managers_wait_longer_than_the_server_drains(
    unit: configparser.SectionProxy, services: dict[str, Any], settings: ServerSettings
) -> None:
    assert settings.drain_timeout_s == ServerSettings().drain_timeout_s
    least_s = settings.drain_timeout_s + WRITE_S
    assert int(unit["TimeoutStopSec"]) > least_s
    assert int(services["esmkit"]["stop_grace_period"].removesuffix("s")) > least_s
    assert (unit["Restart"], unit["KillMode"]) == ("on-failure", "mixed")


def test_every_service_of_the_compose_file_is_hardened(services: dict[str, Any]) -> None:
    assert set(services) == {"esmkit", "postgres", "redis"}
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "healthcheck" in service or name == "esmkit"  # whose image has one
    assert [name for name, service in services.items() if "ports" in service] == ["esmkit"]


def test_no_file_holds_a_secret() -> None:
    for path in FILES:
        for url in re.findall(r"\w+://\S*:\S*@", path.read_text()):
            assert url in ("postgresql://esmkit:%s@",), path


def test_the_image_gets_every_file_that_it_copies_and_no_other() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(allowed, key=str.lower) == sorted({name for names in copied for name in names.split()}, key=str.lower)
    assert all((ROOT / name).exists() for name in allowed)


def test_both_images_have_all_extras_that_a_server_may_need_and_run_as_nobody_special() -> None:
    assert re.findall(r"^ARG EXTRAS(.*)$", DOCKERFILE, re.MULTILINE) == ["=server,postgres,redis,otel", "", ""]
    assert DOCKERFILE.count('esmkit-*.whl)[$EXTRAS]"') == 2
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    for target in ("cpu", "cuda"):
        assert f"FROM runtime AS {target}\n" in DOCKERFILE
        assert f"COPY --from=install-{target} /opt/esmkit /opt/esmkit\n" in DOCKERFILE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a container is Linux")
def test_the_health_check_finds_the_server_of_its_environment(tmp_path: Path) -> None:
    def check(port: int) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ESMKIT_PORT": str(port)}
        command = [sys.executable, str(DEPLOY / "healthcheck.py")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with ServedProcess(tmp_path) as server:
        assert check(server.port).returncode == 0
    gone = check(server.port)
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"http port {server.port}: ")
