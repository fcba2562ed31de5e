"""What every version answers, number by number against the library."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from safetensors.numpy import load as load_safetensors

from esmkit.alphabet import STANDARD, residues
from esmkit.batching import LengthPolicy
from esmkit.engine import Model, load
from esmkit.outputs import OutputOptions
from esmkit.server.answers import BLOCK_NUMBERS, dumps
from esmkit.server.wire.base import Version
from esmkit.server.wire.esm2_docs import ErrorBody, response_type
from tests.server_stand_in import SLUG, Api

A, B = "MKTAYIAKQRQISFVKSHFSRQ", "GSHMSLF-DFFKNXBUZO"
WHOLE = "MKTAYIAKQRQ"
EVERYTHING = ["mean", "bos", "per_token", "contacts", "logits", "attentions"]
VERSIONS = ["v1", "v2", "v3"]


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(scope="module")
def api(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(model, tmp_path_factory.mktemp("store")) as running:
        yield running


def results(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"]
    return found


def close(found: Any, expected: Any) -> None:
    """Batch mates may move the last digits, nothing else."""
    array = np.asarray(found, dtype=np.float32)
    assert array.shape == np.shape(expected)
    np.testing.assert_allclose(array, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_encode_gives_the_numbers_of_the_library(api: Api, model: Model, version: str) -> None:
    found = results(api.call("encode", A, B, version=version, include=EVERYTHING, repr_layers=[-1, 2]))
    residue_key = {"v1": "residue_embeddings"}.get(version, "per_token_embeddings")
    assert [entry["sequence_index"] for entry in found] == [0, 1]
    for entry, sequence in zip(found, (A, B), strict=True):
        for key, inner, pool in (
            ("embeddings", "embedding", "mean"),
            ("bos_embeddings", "embedding", "bos"),
            (residue_key, "embeddings", "per_residue"),
        ):
            assert [layered["layer"] for layered in entry[key]] == [2, 6]
            for layered in entry[key]:
                close(layered[inner], model.embed(sequence, layers=layered["layer"], pool=pool))
        close(entry["contacts"], model.contacts(sequence))
        close(entry["logits"], model.logits(sequence))
        close(entry["attentions"], model.attentions(sequence))
        assert "".join(entry["vocab_tokens"]) == "LAGVSERTIDPKQNFYMHWC"


def test_v2_has_the_names_of_2023_too(api: Api) -> None:
    entry = results(api.call("encode", A, version="v2", include=["mean", "bos", "per_token", "logits"]))[0]
    assert entry["mean_representations"] == {"6": entry["embeddings"][0]["embedding"]}
    assert entry["bos_representations"] == {"6": entry["bos_embeddings"][0]["embedding"]}
    assert entry["representations"] == {"6": entry["per_token_embeddings"][0]["embeddings"]}
    assert entry["alphabet_tokens"] == entry["vocab_tokens"] == list(STANDARD)


@pytest.mark.parametrize("version", VERSIONS)
def test_only_what_was_included_is_there(api: Api, version: str) -> None:
    entry = results(api.call("encode", A, version=version))[0]
    assert set(entry) - {"mean_representations"} == {"sequence_index", "embeddings"}


def test_per_residue_and_per_token_are_one_thing(api: Api) -> None:
    old = results(api.call("encode", A, version="v1", include=["per_token"]))[0]
    new = results(api.call("encode", A, version="v1", include=["per_residue"]))[0]
    assert old == new


@pytest.mark.parametrize("version", VERSIONS)
def test_predict_gives_logits_per_residue(api: Api, model: Model, version: str) -> None:
    masked = "MKT<mask>YIAK<mask>"
    entry = results(api.call("predict", masked, version=version))[0]
    close(entry["logits"], model.logits(masked))
    assert entry["sequence_tokens"] == residues(masked)
    assert len(entry["logits"]) == len(entry["sequence_tokens"]) == 9
    assert ("alphabet_tokens" in entry) == (version == "v2")


def test_gaps_are_seen_by_log_prob_and_not_scored(api: Api, model: Model) -> None:
    [entry] = results(api.call("log_prob", "MK-TAY"))
    assert entry["log_prob"] == pytest.approx(model.log_prob("MK-TAY"), abs=1e-4)
    assert entry["log_prob"] != pytest.approx(model.log_prob("MKTAY"), abs=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("action", ["log_prob", "score", "SCORE"])
def test_log_prob_is_a_number(api: Api, model: Model, version: str, action: str) -> None:
    first, second = results(api.call(action, WHOLE, "GGGX", version=version))
    assert first == {"log_prob": pytest.approx(model.log_prob(WHOLE), abs=1e-4)}
    assert second == {"log_prob": pytest.approx(model.log_prob("GGGX"), abs=1e-4)}


def test_results_come_in_the_order_of_the_items(api: Api, model: Model) -> None:
    sequences = [WHOLE[:length] for length in (3, 11, 1, 7, 7, 2, 9, 5)]
    found = results(api.call("encode", *sequences))
    assert len(found) == 8
    for entry, sequence in zip(found, sequences, strict=True):
        close(entry["embeddings"][0]["embedding"], model.embed(sequence))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("action", ["encode", "predict", "log_prob"])
def test_answers_are_what_the_documentation_says(api: Api, version: str, action: str) -> None:
    sequence = "MKT<mask>Y" if action == "predict" else WHOLE
    params: dict[str, Any] = {"include": EVERYTHING} if action == "encode" else {}
    response = api.call(action, sequence, version=version, provenance=True, **params)
    response_type(Version(version), action).model_validate_json(response.content)


def test_legacy_route_answers_predictions(api: Api, model: Model) -> None:
    body = {"instances": [{"data": {"text": A}}, {"data": {"text": "MKT"}}]}
    for path in (f"/api/v1/models/{SLUG}/encode/", f"/api/v1/models/{SLUG.upper()}/transform"):
        response = api.post(path, json=body)
        assert response.status_code == 200
        first, second = response.json()["predictions"]
        close(first["mean_representations"]["6"], model.embed(A))
        close(second["embeddings"][0]["embedding"], model.embed("MKT"))


def test_provenance_is_given_when_asked_for(api: Api, model: Model) -> None:
    asked = api.call("encode", A, provenance=True).json()
    assert asked["esmkit"] == model.engine.provenance
    assert set(api.call("encode", A).json()) == {"results"}


# Extensions


def test_max_pooling(api: Api, model: Model) -> None:
    entry = results(api.call("encode", A, version="v2", pool="max"))[0]
    close(entry["embeddings"][0]["embedding"], model.embed(A, pool="max"))
    assert "mean_representations" not in entry


def test_full_attention_maps_of_chosen_layers_and_heads(api: Api, model: Model) -> None:
    entry = results(api.call("encode", A, include=["attentions"], layers=[1, -1], heads=[2]))[0]
    close(entry["attentions"], model.attentions(A, layers=[1, -1], heads=[2]))


@pytest.mark.parametrize("policy", ["window", "truncate"])
def test_long_sequences_under_a_policy_say_what_was_done(model: Model, api_of_20: Api, policy: str) -> None:
    sequence = "MKTAYIAKQRQISFVKSHFSRQGSHMSLFDFFKN"
    [found] = results(api_of_20.call("encode", sequence, long=policy, include=["mean", "per_token"]))
    settings = {"length": LengthPolicy(policy, limit=20)}  # type: ignore[arg-type]
    [expected] = Model(model.engine, **settings).run([sequence], ["mean", "per_residue"])
    close(found["embeddings"][0]["embedding"], expected.arrays["mean_6"])
    close(found["per_token_embeddings"][0]["embeddings"], expected.arrays["per_residue_6"])
    assert found["long"] == {"policy": policy, "windows": expected.meta["long"]["windows"]}
    assert "long" not in results(api_of_20.call("encode", "MKT", long=policy))[0]


@pytest.fixture(scope="module")
def api_of_20(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """With a limit of 20 residues."""
    with Api(model, tmp_path_factory.mktemp("short"), max_residues=20, max_long_residues=60) as running:
        yield running


def test_predict_truncated_has_as_many_tokens_as_logits(api_of_20: Api) -> None:
    [entry] = results(api_of_20.call("predict", "<mask>" + "MKTAY" * 5, long="truncate"))
    assert len(entry["sequence_tokens"]) == len(entry["logits"]) == 20


def test_chains_are_joined_for_the_model_and_cut_from_the_answer(api: Api, model: Model) -> None:
    linker = "G" * 4
    joined = WHOLE + linker + "MKT"
    keep = [*range(11), *range(15, 18)]
    [entry, alone] = results(
        api.call(
            "encode", f"{WHOLE}:MKT", A, chains={"linker": 4}, include=[*EVERYTHING], layers=[3], repr_layers=[-1, 1]
        )
    )
    assert entry["chains"] == [[1, 11], [12, 14]]
    assert "chains" not in alone
    for place, layer in enumerate((1, 6)):
        whole = model.embed(joined, layers=layer, pool="per_residue")
        close(entry["per_token_embeddings"][place]["embeddings"], whole[keep])
        close(entry["embeddings"][place]["embedding"], whole[keep].mean(0))
        close(entry["bos_embeddings"][place]["embedding"], model.embed(joined, layers=layer, pool="bos"))
        close(alone["embeddings"][place]["embedding"], model.embed(A, layers=layer))
    close(entry["contacts"], model.contacts(joined)[np.ix_(keep, keep)])
    close(entry["logits"], model.logits(joined)[keep])
    close(entry["attentions"], model.attentions(joined, layers=[3])[:, :, keep][..., keep])


def test_chains_mean_needs_no_per_residue_output(api: Api, model: Model) -> None:
    [entry] = results(api.call("encode", "MKT:GSH:AAA", chains={}))
    assert set(entry) == {"sequence_index", "embeddings", "chains"}
    joined = ("G" * 25).join(["MKT", "GSH", "AAA"])
    keep = [0, 1, 2, 28, 29, 30, 56, 57, 58]
    close(entry["embeddings"][0]["embedding"], model.embed(joined, pool="per_residue")[keep].mean(0))


def test_predict_takes_chains(api: Api, model: Model) -> None:
    [entry] = results(api.call("predict", "MK<mask>:GS", chains={"linker": 1}))
    assert entry["sequence_tokens"] == ["M", "K", "<mask>", "G", "S"]
    close(entry["logits"], model.logits("MK<mask>GGS")[[0, 1, 2, 4, 5]])


# Binary


def binary(api: Api, media: str, *sequences: str, **params: Any) -> Any:
    response = api.call("encode", *sequences, headers={"Accept": media}, **params)
    assert response.status_code == 200, response.text
    assert "content-encoding" not in response.headers
    return response


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_output_in_every_binary_type(api: Api, model: Model, dtype: str) -> None:
    suffix = "" if dtype == "float32" else f"; dtype={dtype}"
    names = {"mean_6", "bos_6", "per_residue_6", "contacts", "logits", "attentions"}
    options = {"include": EVERYTHING}
    npz = np.load(io.BytesIO(binary(api, f"application/x-npz{suffix}", A, B, **options).content), allow_pickle=False)
    tensors = load_safetensors(binary(api, f"application/x-safetensors{suffix}", A, B, **options).content)
    response = binary(api, f"application/vnd.apache.arrow.stream{suffix}", A, B, **options)
    assert response.headers["content-type"] == f"application/vnd.apache.arrow.stream; dtype={dtype}"
    table = pa.ipc.open_stream(response.content).read_all()
    assert set(tensors) == set(npz.files) - {"esmkit"} == {f"{index}/{name}" for index in (0, 1) for name in names}
    compared = 0
    for index, sequence in enumerate((A, B)):
        for name in names:
            expected = one_array(model, sequence, name).astype(dtype)
            shape = table[f"{name}_shape"][index].as_py() if expected.ndim > 1 else [-1]
            flat = table[name][index].values.to_numpy(zero_copy_only=False)
            for array in (npz[f"{index}/{name}"], tensors[f"{index}/{name}"], flat.reshape(shape)):
                assert array.dtype == dtype
                np.testing.assert_allclose(array, expected, atol=1e-5 if dtype == "float32" else 4e-3, rtol=4e-3)
                compared += 1
    assert compared == 2 * 6 * 3
    about = json.loads(str(npz["esmkit"]))
    assert about["provenance"] == model.engine.provenance
    assert json.loads(table.schema.metadata[b"esmkit"]) == about


def one_array(model: Model, sequence: str, name: str) -> Any:
    if name.endswith("_6"):
        return model.embed(sequence, pool=name[:-2])  # type: ignore[arg-type]
    return getattr(model, name)(sequence)


def test_scalars_stay_fp32_in_fp16_answers(api: Api, model: Model) -> None:
    response = api.call("log_prob", WHOLE, headers={"Accept": "application/x-safetensors; dtype=float16"})
    array = load_safetensors(response.content)["0/log_prob"]
    assert array.dtype == np.float32
    assert float(array) == pytest.approx(model.log_prob(WHOLE), abs=1e-4)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/json, application/x-npz;q=0.5", "application/json"),
        ("application/json;q=0.1, application/x-npz", "application/x-npz; dtype=float32"),
        ("application/X-NPZ;dtype=float16;q=1", "application/x-npz; dtype=float16"),
    ],
)
def test_the_preferred_type_is_sent(api: Api, accept: str, content_type: str) -> None:
    assert api.call("encode", "MKT", headers={"Accept": accept}).headers["content-type"] == content_type


def test_an_unknown_dtype_is_refused(api: Api) -> None:
    response = api.call("encode", "MKT", headers={"Accept": "application/x-npz; dtype=int8"})
    assert response.status_code == 400
    assert "float32 or float16" in response.json()["error"]


def test_errors_are_json_whatever_was_accepted(api: Api) -> None:
    response = api.call("encode", "mkt", headers={"Accept": "application/x-npz"})
    assert response.status_code == 400
    ErrorBody.model_validate_json(response.content)


# Compression


def test_large_answers_are_gzipped_for_those_who_take_it(api: Api) -> None:
    plain = api.call("encode", A, include=["per_token"], headers={"Accept-Encoding": "identity"})
    packed = api.call("encode", A, include=["per_token"], headers={"Accept-Encoding": "gzip, deflate"})
    small = api.get("/health/live", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in small.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 0.6 * int(plain.headers["content-length"])
    assert orjson.loads(packed.content) == orjson.loads(plain.content)


def test_large_arrays_are_written_in_blocks_to_the_same_text() -> None:
    array = np.random.default_rng(0).normal(size=(700, 600)).astype(np.float32)
    assert array.size > 3 * BLOCK_NUMBERS
    for shape in ((700, 600), (1, 700, 600), (70, 10, 600)):
        content = {"results": [{"a": array.reshape(shape)}]}
        assert dumps(content) == orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def test_options_reach_the_queue(api: Api) -> None:
    api.call("encode", A, priority="bulk", deadline_s=7)
    assert api.queue.calls[-1]["priority"] == "bulk"
    assert api.queue.calls[-1]["deadline_s"] == 7
    api.call("encode", A)
    assert api.queue.calls[-1]["priority"] == "interactive"
    assert api.queue.calls[-1]["deadline_s"] == 1200


def test_chosen_layers_are_given_once_and_in_order_as_biolm_does(api: Api) -> None:
    options = OutputOptions(layers=(6, -1, 0))
    [entry] = results(api.call("encode", A, repr_layers=list(options.layers)))
    assert [layered["layer"] for layered in entry["embeddings"]] == [0, 6]
