"""Batch jobs over HTTP: what is asked, what comes out, and who may see it."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest

from esmkit.engine import Model, load
from esmkit.errors import InvalidConfigError
from esmkit.server.jobs import worker
from esmkit.server.jobs.folder import default_folder
from tests.jobs_stand_in import FASTA, JOBS, JobsApi, ended, made, state_is, submit, table, until
from tests.server_stand_in import SLUG

MEAN = "mean_6"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_S", 0.05)


@pytest.fixture
def api(model: Model, tmp_path: Path) -> Iterator[JobsApi]:
    with JobsApi(model, tmp_path, webhook_hosts=("x.example",)) as running:
        yield running


def embeddings(model: Model) -> Any:
    """Of FASTA, as the library gives them."""
    return model.embed(["MKTAYIAKQR", "MVLSPADKTNV", "GSHM"])


def test_a_job_gives_what_the_library_gives(api: JobsApi, model: Model) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        job = await made(client, name="three proteins")
        assert (job["state"], job["progress"]["records_total"], job["progress"]["residues_total"]) == ("queued", 3, 25)
        page = await ended(client, job)
        assert (page["state"], page["error"], page["failures"]) == ("done", None, 0)
        assert page["progress"] | {"residues_per_s": None} == {
            **{"records": 3, "records_total": 3, "residues": 25, "residues_total": 25},
            **{"share": 1.0, "residues_per_s": None, "seconds_left": None},
        }
        assert page["expires_at"] > page["finished_at"] >= page["started_at"] >= page["created_at"]
        answer = await client.get(page["links"]["result"])
        assert answer.headers["content-type"] == "application/vnd.apache.parquet"
        found = table(answer.content)
        assert found["id"].to_pylist() == ["a", "b", "c"]
        np.testing.assert_allclose(np.stack(found[MEAN].to_numpy()), embeddings(model), atol=1e-5)
        assert [each["id"] for each in (await client.get(JOBS)).json()["jobs"]] == [job["id"]]

    api.during(act)
    assert {call["priority"] for call in api.queue.calls if not call.get("is_probe")} == {"bulk"}


@pytest.mark.parametrize("form", ["hdf5", "npz"])
def test_results_come_in_other_formats(api: JobsApi, model: Model, form: str) -> None:
    async def act(client: httpx.AsyncClient) -> bytes:
        page = await ended(client, await made(client, format=form))
        return (await client.get(page["links"]["result"])).content

    content = io.BytesIO(api.during(act))
    if form == "npz":
        with np.load(content) as arrays:
            found = np.stack([arrays[name] for name in "abc"])
    else:
        with h5py.File(content) as file:
            found = np.stack([file[name][()] for name in "abc"])
    np.testing.assert_allclose(found, embeddings(model), atol=1e-5)


INPUTS: list[tuple[bytes, dict[str, str]]] = [
    (b"id,sequence\na,MKTAYIAKQR\nb,MVLSPADKTNV\nc,GSHM\n", {}),
    (b"name\tseq\na\tMKTAYIAKQR\nb\tMVLSPADKTNV\nc\tGSHM\n", {"id_column": "name", "sequence_column": "seq"}),
    (b'{"id":"a","sequence":"MKTAYIAKQR"}\n{"id":"b","sequence":"MVLSPADKTNV"}\n{"id":"c","sequence":"GSHM"}', {}),
    (
        b'{"items":[{"id":"a","sequence":"MKTAYIAKQR"},{"id":"b","sequence":"MVLSPADKTNV"}]}\n'
        b'{"items":[{"id":"c","sequence":"GSHM"}]}\n',
        {},
    ),
    (gzip.compress(FASTA), {}),
]


def test_inputs_are_tables_json_lines_of_requests_or_compressed(api: JobsApi, model: Model) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        for body, query in INPUTS:
            page = await ended(client, await made(client, body, **query))
            found = table((await client.get(page["links"]["result"])).content)
            assert found["id"].to_pylist() == ["a", "b", "c"]
            np.testing.assert_allclose(np.stack(found[MEAN].to_numpy()), embeddings(model), atol=1e-5)

    api.during(act)


REFUSED: list[tuple[bytes, dict[str, str], str]] = [
    (b">a\nMK\n>b\nMK9L\n", {}, "record 'b' (input, line 4), position 3: found '9'"),
    (b">a\nMK\n>a\nMKL\n", {}, "record 'a' (input, line 3) has an id that an earlier record has"),
    (b">a\n" + b"M" * 2049, {}, "has 2049 residues, the limit is 2048"),
    (b">a\nMK\n", {"outputs": "nonsense"}, "nonsense"),
    (b">a\nMK\n", {"format": "safetensors"}, "format 'safetensors': choose"),
    (b">a\nMK\n", {"layers": "x"}, "layers='x' is no list of integers"),
    (b">a\nMK\n", {"colour": "red"}, "colour"),
    (b"", {}, "input"),
    (b"id,sequence\na\n", {}, "line 2"),
    (b'{"items": [], "params": {"top_k": 1}}\n', {}, "options are the same for all records"),
    (gzip.compress(FASTA)[:-9], {}, "compressed and damaged"),
    (gzip.compress(gzip.compress(FASTA)), {}, "compressed twice"),
    (b">a\n" + b"M" * (2 << 20), {}, "a line of more than 1048576 bytes"),
    (b">a\nMK\n", {"webhook": "https://evil.example/"}, "webhooks may not call evil.example"),
    (b">a\nMK\n", {"webhook": "file:///etc/passwd"}, "webhook is no address"),
]


def test_what_cannot_be_computed_is_refused_at_once_and_nothing_is_kept(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        for body, query, message in REFUSED:
            answer = await submit(client, body, **query)
            assert answer.status_code == 400
            assert message in answer.text.replace("\\'", "'")
            assert str(api.worker.folder.path) not in answer.text
        assert (await client.get(JOBS)).json() == {"jobs": []}

    api.during(act)
    assert [path.name for path in api.worker.folder.path.iterdir()] == [".secret"]


def test_bad_records_are_listed_with_their_place_when_they_are_skipped(api: JobsApi) -> None:
    body = b">a\nMK\n>b\nMK9L\n>a\nMKV\n>d\nMVLS\n"

    async def act(client: httpx.AsyncClient) -> None:
        page = await ended(client, await made(client, body, on_error="skip"))
        assert (page["state"], page["failures"], page["progress"]["records"]) == ("done", 2, 4)
        assert table((await client.get(page["links"]["result"])).content)["id"].to_pylist() == ["a", "d"]
        lines = (await client.get(page["links"]["failures"])).text.splitlines()
        first, second = (json.loads(line) for line in lines)
        assert (first["index"], first["id"]) == (1, "b")
        assert {name: first["error"][name] for name in ("code", "line", "position", "residue", "source")} == {
            **{"code": "user.invalid_sequence", "line": 4, "position": 3, "residue": "9", "source": "input"}
        }
        assert (second["index"], second["error"]["code"]) == (2, "user.invalid_record")

    api.during(act)


def test_the_same_mark_is_one_job_and_another_request_with_it_is_a_conflict(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        mark = {"Idempotency-Key": "my-upload-1"}
        first = await made(client, headers=mark)
        again = await made(client, headers=mark)
        assert again["id"] == first["id"]
        other = await submit(client, b">z\nMM\n", headers=mark)
        assert (other.status_code, "another request" in other.text) == (409, True)
        assert (await submit(client, headers={"Idempotency-Key": "a b"})).status_code == 400
        await ended(client, first)
        assert (await made(client, headers=mark))["state"] == "done"
        assert len((await client.get(JOBS)).json()["jobs"]) == 1

    api.during(act)
    assert len([path for path in api.worker.folder.path.iterdir() if path.name.startswith("job_")]) == 1


def test_a_result_comes_in_ranges(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        path = (await ended(client, await made(client)))["links"]["result"]
        whole = await client.get(path)
        size = len(whole.content)
        head = await client.head(path)
        assert (head.content, head.headers["content-length"], head.headers["accept-ranges"]) == (
            b"",
            f"{size}",
            "bytes",
        )
        rest = await client.get(path, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
        assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes 100-{size - 1}/{size}")
        assert rest.content == whole.content[100:]
        assert (await client.get(path, headers={"Range": "bytes=-7"})).content == whole.content[-7:]
        changed = await client.get(path, headers={"Range": "bytes=100-", "If-Range": '"another"'})
        assert (changed.status_code, len(changed.content)) == (200, size)
        for beyond in (f"bytes={size}-", "bytes=-0"):
            assert (await client.get(path, headers={"Range": beyond})).status_code == 416
        for odd in ("bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=" + "9" * 40 + "-"):
            assert (await client.get(path, headers={"Range": odd})).status_code == 200

    api.during(act)


def test_a_link_works_without_a_key_until_it_expires_and_not_when_it_was_changed(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JobsApi(model, tmp_path, auth="on") as api:
        key = {"Authorization": f"Bearer {api.store.keys.create('one')[1]}"}

        async def act(client: httpx.AsyncClient) -> None:
            job = await made(client, headers=key)
            page = await ended(client, job, headers=key)
            other = await ended(client, await made(client, headers=key), headers=key)
            assert (await client.get(page["links"]["result"])).status_code == 401
            answer = await client.post(page["links"]["link"], params={"lifetime_s": 60}, headers=key)
            url = answer.json()["url"]
            assert table((await client.get(url)).content).num_rows == 3
            for changed in (
                url.replace(page["id"], other["id"]),
                url.replace("expires=", "expires=9"),
                url[:-1] + ("0" if url[-1] != "0" else "1"),
            ):
                assert (await client.get(changed)).status_code == 403
            assert (
                await client.post(page["links"]["link"], params={"lifetime_s": 10**9}, headers=key)
            ).status_code == 400
            monkeypatch.setattr("esmkit.server.jobs.links.time.time", lambda: 4e9)
            assert (await client.get(url)).status_code == 403

        api.during(act)


def test_a_key_sees_its_own_jobs_only_and_an_admin_all(model: Model, tmp_path: Path) -> None:
    with JobsApi(model, tmp_path, auth="on", jobs_at_once=0) as api:
        create = api.store.keys.create
        one, two = ({"X-API-Key": create(name)[1]} for name in ("one", "two"))
        admin = {"X-API-Key": create("boss", admin=True)[1]}
        narrow = {"X-API-Key": create("narrow", actions=["encode"])[1]}

        async def act(client: httpx.AsyncClient) -> None:
            assert (await submit(client)).status_code == 401
            refused = await submit(client, headers=narrow)
            assert (refused.status_code, "may not use jobs" in refused.text) == (403, True)
            mark = {"Idempotency-Key": "same"}
            mine = await made(client, headers=one | mark)
            theirs = await made(client, headers=two | mark)
            assert mine["id"] != theirs["id"]
            for path in ("", "/result", "/failures"):
                assert (await client.get(f"{JOBS}/{theirs['id']}{path}", headers=one)).status_code == 404
            for method, path in (("POST", "/cancel"), ("POST", "/link"), ("DELETE", "")):
                answer = await client.request(method, f"{JOBS}/{theirs['id']}{path}", headers=one)
                assert answer.status_code == 404
            assert [each["id"] for each in (await client.get(JOBS, headers=one)).json()["jobs"]] == [mine["id"]]
            seen = (await client.get(JOBS, headers=admin)).json()["jobs"]
            assert {each["id"] for each in seen} == {mine["id"], theirs["id"]}
            ended_by = await client.post(f"{JOBS}/{mine['id']}/cancel", headers=admin)
            assert ended_by.json()["state"] == "cancelled"

        api.during(act)


def test_ids_that_are_none_lead_nowhere(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        for name in ("..%2f.secret", ".secret", "job_" + "a" * 22, "job_%00" + "a" * 21, "%2e%2e"):
            assert (await client.get(f"{JOBS}/{name}")).status_code == 404
            assert (await client.get(f"{JOBS}/{name}/result")).status_code == 404

    api.during(act)


def test_quotas_hold_per_key(model: Model, tmp_path: Path) -> None:
    with JobsApi(model, tmp_path, auth="on", jobs_per_key=1, jobs_at_once=0, jobs_upload_bytes=2000) as api:
        one, two = ({"X-API-Key": api.store.keys.create(name)[1]} for name in ("one", "two"))

        async def act(client: httpx.AsyncClient) -> None:
            job = await made(client, headers=one)
            refused = await submit(client, headers=one)
            assert (refused.status_code, "1 jobs are kept" in refused.text) == (429, True)
            assert int(refused.headers["retry-after"]) > 0
            await made(client, headers=two)
            assert (await client.delete(f"{JOBS}/{job['id']}", headers=one)).status_code == 200
            assert (await client.get(f"{JOBS}/{job['id']}", headers=one)).status_code == 404
            await made(client, headers=one)

        api.during(act)


def test_an_input_is_bounded_as_sent_and_inflated(model: Model, tmp_path: Path) -> None:
    with JobsApi(model, tmp_path, jobs_upload_bytes=2000) as api:

        async def act(client: httpx.AsyncClient) -> None:
            long = b">a\n" + b"M" * 1990 + b"\n" + b">b\nM\n" * 10
            assert (await submit(client, long)).status_code == 413
            packed = gzip.compress(long)
            assert len(packed) < 200
            assert (await submit(client, packed)).status_code == 413

        api.during(act)
        assert [path.name for path in api.worker.folder.path.iterdir()] == [".secret"]


def test_results_above_the_disk_of_a_key_fail_the_job(model: Model, tmp_path: Path) -> None:
    with JobsApi(model, tmp_path, jobs_bytes_per_key=1024) as api:

        async def act(client: httpx.AsyncClient) -> None:
            page = await ended(client, await made(client))
            assert (page["state"], page["error"]["code"]) == ("failed", "user.job_quota")
            assert page["size_bytes"] == 0
            answer = await client.get(f"{JOBS}/{page['id']}/result")
            assert (answer.status_code, "the job is failed: the results take more" in answer.text) == (409, True)

        api.during(act)


def test_a_running_job_is_cancelled_soon_and_leaves_no_files(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        api.queue.gate.clear()
        job = await made(client)
        await state_is(client, job, "running")
        assert (await client.get(f"{JOBS}/{job['id']}/result")).status_code == 409
        assert (await client.post(f"{JOBS}/{job['id']}/cancel")).status_code == 200
        assert (await ended(client, job))["state"] == "cancelled"
        api.queue.gate.set()
        again = await client.post(f"{JOBS}/{job['id']}/cancel")
        assert again.json()["state"] == "cancelled"

    api.during(act)
    assert api.queue.waiting == 0
    assert [path.name for path in api.worker.folder.path.iterdir()] == [".secret"]


def test_jobs_are_deleted_some_time_after_they_have_ended(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SWEEP_S", 0.1)
    with JobsApi(model, tmp_path, jobs_keep_s=1) as api:

        async def act(client: httpx.AsyncClient) -> None:
            job = await ended(client, await made(client))
            folder = api.worker.folder.of(job["id"]).folder
            assert sorted(path.name for path in folder.iterdir()) == ["result.parquet", "result.parquet.manifest.json"]

            async def is_gone() -> bool:
                return not folder.exists() and (await client.get(f"{JOBS}/{job['id']}")).status_code == 404

            assert await until(is_gone)

        api.during(act)


def test_what_jobs_do_is_counted(api: JobsApi) -> None:
    async def act(client: httpx.AsyncClient) -> str:
        await ended(client, await made(client, b">a\nMK\n>b\nM9\n", on_error="skip"))
        api.queue.gate.clear()
        await state_is(client, await made(client), "running")
        await made(client)

        async def text() -> str | None:
            found = (await client.get("/metrics")).text
            return found if 'esmkit_jobs{state="queued"} 1.0' in found else None

        found: str = await until(text)
        api.queue.gate.set()
        return found

    text = api.during(act)
    for sample in (
        *(
            'esmkit_jobs{state="running"} 1.0',
            "esmkit_jobs_residues_left 50.0",
            'esmkit_jobs_ended_total{state="done"} 1.0',
        ),
        *("esmkit_jobs_records_total 2.0", "esmkit_jobs_record_failures_total 1.0"),
    ):
        assert sample in text


@pytest.mark.parametrize(("path", "methods"), [("", "GET, HEAD, POST"), ("/job_" + "a" * 22, "DELETE, GET, HEAD")])
def test_a_wrong_method_is_told_which_there_are(api: JobsApi, path: str, methods: str) -> None:
    answer = api.request("PUT", JOBS + path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_without_a_place_to_write_the_server_has_no_jobs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert default_folder({"ESMKIT_HOME": str(tmp_path)}) == str(tmp_path / "jobs")
    (tmp_path / "file").touch()
    assert default_folder({"ESMKIT_HOME": str(tmp_path / "file")}) is None
    assert "batch jobs are off" in caplog.text


def test_a_folder_that_was_chosen_and_cannot_be_written_is_an_error(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfigError, match="choose another jobs_folder"):
        JobsApi(model, tmp_path, jobs_folder=str(tmp_path / "file" / "jobs"))
