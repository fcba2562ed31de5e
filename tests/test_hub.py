"""Downloads, from a stand-in for the hub: resumed, checked, renamed into place; never wrong, never unasked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from esmkit.config import Settings
from esmkit.errors import InvalidConfigError, UnknownModelError, WeightsError
from esmkit.models import hub as downloads
from esmkit.models.locate import DOWNLOAD, EMBEDDED, find
from esmkit.models.weights import verify
from tests.checkpoint_files import State, assert_holds, load_path, state_of, transformers_model, write_folder
from tests.hub_stand_in import REVISION, Hub, running

NAME = "lab/tiny-esm2"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def state() -> State:
    return state_of(transformers_model())


@pytest.fixture
def hub(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two attempts of huggingface-hub
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1_000)  # what a cut connection may lose
    hub = Hub()
    folder = write_folder(tmp_path / "published", state)
    hub.repositories[NAME] = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories[NAME] |= {"README.md": b"a model", "pytorch_model.bin": b"the same in another format"}
    with running(hub):
        yield hub


@pytest.fixture
def settings(hub: Hub, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", hub_url=hub.url)


def in_models(settings: Settings) -> set[str]:
    folder = settings.home / "models"
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()


def test_pull_fetches_what_loading_needs_and_nothing_else(hub: Hub, settings: Settings, state: State) -> None:
    folder = downloads.pull(NAME, settings)
    assert {path.name for path in folder.iterdir()} == {"config.json", WEIGHTS, DOWNLOAD}
    assert hub.downloads == [("config.json", 0), (WEIGHTS, 0)]
    loaded = load_path(NAME, home=settings.home)
    assert_holds(loaded, state)
    assert loaded.provenance["slug"] == NAME
    assert loaded.provenance["source"] == f"{NAME}@{REVISION}"
    assert loaded.provenance["weights_sha256"] == hashlib.sha256(hub.repositories[NAME][WEIGHTS]).hexdigest()


def test_sharded_model_is_pulled_by_its_index(hub: Hub, settings: Settings, state: State, tmp_path: Path) -> None:
    for container in ("sharded safetensors", "sharded bin"):
        folder = write_folder(tmp_path / container, state, container)  # type: ignore[arg-type]
        hub.repositories["lab/sharded"] = {path.name: path.read_bytes() for path in folder.iterdir()}
        home = replace(settings, home=tmp_path / f"home of {container}")
        assert len(list(downloads.pull("lab/sharded", home).iterdir())) == 3 + 3
        assert_holds(load_path("lab/sharded", home=home.home), state)


def test_second_pull_downloads_nothing_and_works_offline(hub: Hub, settings: Settings) -> None:
    folder = downloads.pull(NAME, settings)
    hub.downloads.clear()
    assert downloads.pull(NAME, replace(settings, offline=True)) == folder
    assert hub.downloads == []


def test_cut_connection_is_resumed_within_a_pull(hub: Hub, settings: Settings, state: State) -> None:
    hub.cut[WEIGHTS] = [10_000, 20_000]
    downloads.pull(NAME, settings)
    assert hub.downloads[1:] == [(WEIGHTS, 0), (WEIGHTS, 10_000), (WEIGHTS, 30_000)]
    assert_holds(load_path(NAME, home=settings.home), state)


def test_interrupted_pull_is_resumed_by_the_next_one(hub: Hub, settings: Settings, state: State) -> None:
    hub.cut[WEIGHTS], hub.refuse_ranges = [10_000], True
    with pytest.raises(WeightsError, match="Run the same command again"):
        downloads.pull(NAME, settings)
    assert in_models(settings) == {"lab--tiny-esm2.partial"}
    with pytest.raises(WeightsError, match="lab/tiny-esm2 is not downloaded"):
        find(NAME, settings)
    hub.refuse_ranges = False
    hub.downloads.clear()
    downloads.pull(NAME, settings)
    assert hub.downloads == [(WEIGHTS, 10_000)]
    assert in_models(settings) == {"lab--tiny-esm2"}
    assert_holds(load_path(NAME, home=settings.home), state)


def test_wrong_content_is_thrown_away_and_never_used(hub: Hub, settings: Settings) -> None:
    true = hub.repositories[NAME][WEIGHTS]
    hub.announced[WEIGHTS] = true
    hub.repositories[NAME][WEIGHTS] = true[:-1] + bytes([true[-1] ^ 1])
    with pytest.raises(WeightsError, match=r"the hub sent a wrong model\.safetensors.*: sha256") as caught:
        downloads.pull(NAME, settings)
    assert caught.value.expected == f"sha256 {hashlib.sha256(true).hexdigest()}"
    assert not downloads.is_intact(NAME, settings)
    partial = settings.home / "models" / "lab--tiny-esm2.partial"
    assert {path.name for path in partial.iterdir()} == {"config.json"}


def test_wrong_small_file_is_found_by_its_git_id(hub: Hub, settings: Settings) -> None:
    true = hub.repositories[NAME]["config.json"]
    hub.announced["config.json"] = true
    hub.repositories[NAME]["config.json"] = true.replace(b"33", b"34")
    with pytest.raises(WeightsError, match=r"wrong config\.json: git id"):
        downloads.pull(NAME, settings)


def test_truncated_file_on_the_hub_is_never_used(hub: Hub, settings: Settings) -> None:
    hub.announced[WEIGHTS] = hub.repositories[NAME][WEIGHTS]
    hub.repositories[NAME][WEIGHTS] = hub.repositories[NAME][WEIGHTS][:-100]
    with pytest.raises(WeightsError, match="should be of size"):
        downloads.pull(NAME, settings)
    assert in_models(settings) == {"lab--tiny-esm2.partial"}


def test_public_checkpoint_must_have_its_published_digest(hub: Hub, settings: Settings) -> None:
    hub.repositories["facebook/esm2_t6_8M_UR50D"] = hub.repositories[NAME]
    with pytest.raises(WeightsError) as caught:
        downloads.pull("esm2-8m", settings)
    assert caught.value.expected is not None
    assert "c78322372c5f2a2db07ff6df20637701d82eb255aa32e2623c2db18553db28d9" in caught.value.expected
    assert in_models(settings) == {"esm2-8m.partial"}


def test_public_checkpoint_lies_under_its_slug_by_every_name(hub: Hub, settings: Settings) -> None:
    hub.repositories["facebook/esm2_t30_150M_UR50D"] = hub.repositories[NAME]
    folder = downloads.pull("facebook/ESM2_t30_150M_UR50D", settings)
    assert folder == settings.home / "models" / "esm2-150m"
    assert find("esm2_t30_150M_UR50D", settings).slug == "esm2-150m"


def test_model_that_the_hub_lacks_is_named(settings: Settings) -> None:
    with pytest.raises(WeightsError, match="cannot download lab/nothing from http://127"):
        downloads.pull("lab/nothing", settings)


def test_repository_without_weights_or_config_is_named(hub: Hub, settings: Settings) -> None:
    hub.repositories["lab/empty"] = {"config.json": b"{}"}
    with pytest.raises(WeightsError, match=r"lab/empty has no file model\.safetensors"):
        downloads.pull("lab/empty", settings)
    hub.repositories["lab/empty"] = {"README.md": b""}
    with pytest.raises(WeightsError, match=r"lab/empty has no file config\.json"):
        downloads.pull("lab/empty", settings)


def test_hub_out_of_reach_is_an_error_that_names_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, hub_url="http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"cannot download facebook/esm2_t6_8M_UR50D from http://127\.0\.0\.1:9"):
        downloads.pull("esm2-8m", settings)


def test_offline_mode_refuses_before_any_request(hub: Hub, settings: Settings) -> None:
    with pytest.raises(InvalidConfigError, match="offline mode is on"):
        downloads.pull(NAME, replace(settings, offline=True))
    assert hub.downloads == []
    assert in_models(settings) == set()


def test_unknown_name_is_not_asked_of_the_hub(settings: Settings) -> None:
    with pytest.raises(UnknownModelError, match="esm2-8m"):
        downloads.pull("esm2-8mm", settings)


def test_embedded_model_needs_no_download(settings: Settings) -> None:
    assert downloads.pull("esm2-mini", replace(settings, offline=True)) == EMBEDDED


@pytest.mark.parametrize("victim", [WEIGHTS, "config.json"])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_download_is_named_not_used_and_replaced(
    victim: str, damage: str, hub: Hub, settings: Settings, state: State
) -> None:
    path = downloads.pull(NAME, settings) / victim
    content = path.read_bytes()
    # A flipped bit in the last tensor: the file still opens.
    path.write_bytes(content[:-2] if damage == "cut" else content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    os.utime(path, ns=(1, 1))
    with pytest.raises(WeightsError) as caught:
        load_path(NAME, home=settings.home)
    assert caught.value.path == str(path)
    with pytest.raises(WeightsError, match=victim):
        verify(NAME, settings)
    hub.downloads.clear()
    downloads.pull(NAME, settings)
    assert hub.downloads == [(victim, 0)]
    assert_holds(load_path(NAME, home=settings.home), state)


def test_verify_reads_again_what_a_load_remembers(settings: Settings) -> None:
    path = downloads.pull(NAME, settings) / WEIGHTS
    load_path(NAME, home=settings.home)
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # silent damage: size and time as before
    with pytest.raises(WeightsError, match=r"model\.safetensors is not the file that was published"):
        verify(NAME, settings)


def test_folder_copied_into_the_cache_by_hand_is_used(settings: Settings, state: State) -> None:
    folder = settings.home / "models" / "esm2-150m"
    write_folder(folder, state)
    source, found = verify("esm2-150m", settings)
    assert (source.slug, source.origin) == ("esm2-150m", str(folder))
    assert list(found) == [folder / WEIGHTS]


def test_download_record_says_where_every_file_came_from(hub: Hub, settings: Settings) -> None:
    record = json.loads((downloads.pull(NAME, settings) / DOWNLOAD).read_text())
    assert (record["hub_id"], record["revision"]) == (NAME, REVISION)
    for name, file in record["files"].items():
        content = hub.repositories[NAME][name]
        assert file == {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert set(record["files"]) == {"config.json", WEIGHTS}
