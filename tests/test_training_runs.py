"""Training runs: they learn, stop anywhere and go on to the same numbers, and leave models that everybody opens."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import esmkit
from esmkit.alphabet import STANDARD, tokenize
from esmkit.errors import ModelExecutionError
from esmkit.training.budget import Budget, Place, Position
from esmkit.training.corpus import Corpus
from esmkit.training.folder import TrainingFolder
from esmkit.training.loop import Conduct
from esmkit.training.mlm import MlmTraining
from esmkit.training.objective import summed_loss
from esmkit.training.recipe import Recipe
from esmkit.training.start import initialised
from esmkit.types import ModelShape, Record
from tests.cli_calls import EXAMPLES, Esmkit, in_process, start, write_fasta

SIZES = ("--layers", "2", "--width", "16", "--heads", "2")
SMALL = (*SIZES, "--crop", "60", "--batch-tokens", "300", "--accumulate", "2", "--warmup-steps", "3", "--threads", "1")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    call = in_process(monkeypatch, capsys)

    def mlm(out: Path, *arguments: object, source: Path = EXAMPLES) -> Any:
        return call("train", "mlm", source, "--out", out, *arguments)

    return mlm


def log_of(out: Path) -> list[dict[str, Any]]:
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("checkpoint-*"))


def wait_for(what: Any, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 300
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.005)


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit: every line of the log, every weight, every moment of the optimizer."""
    assert log_of(one) == log_of(other)
    assert checkpoints(one) == checkpoints(other)
    weights, others = (load_file(path / "model" / "model.safetensors") for path in (one, other))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    states = [torch.load(path / checkpoints(path)[-1] / "training.pt")["optimizer"]["state"] for path in (one, other)]
    assert states[0].keys() == states[1].keys()
    for number, moments in states[0].items():
        assert all(torch.equal(value, states[1][number][name]) for name, value in moments.items())


@pytest.mark.parametrize("budget", [("--steps", 24), ("--epochs", 2.5), ("--tokens", 12000)])
def test_killed_run_resumes_to_the_loss_curve_of_an_undisturbed_one(
    budget: tuple[str, object], run: Esmkit, tmp_path: Path
) -> None:
    arguments = (*SMALL, *budget, "--valid", EXAMPLES, "--validations", "4")
    assert run(tmp_path / "whole", *arguments).code == 0
    killed = tmp_path / "killed"
    reached = []
    for _ in range(2):
        before = checkpoints(killed)
        command = ("train", "mlm", EXAMPLES, "--out", killed, *arguments, "--checkpoint-minutes", "0.001")
        with start(*command) as process:
            wait_for(lambda: checkpoints(killed) not in ([], before), process)  # noqa: B023
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not (killed / "model").exists()
        reached.append(checkpoints(killed)[-1])
    assert reached[0] < reached[1]
    again = run(killed, *arguments)
    assert again.code == 0
    assert "going on from step" in again.err
    assert_same_run(tmp_path / "whole", killed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_the_command_goes_on(
    number: signal.Signals, run: Esmkit, tmp_path: Path
) -> None:
    arguments = (*SMALL, "--steps", "400")
    out = tmp_path / "run"
    with start("train", "mlm", EXAMPLES, "--out", out, *arguments) as process:
        wait_for(lambda: (out / "log.jsonl").exists() and (out / "log.jsonl").stat().st_size, process)
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in err
    (left,) = checkpoints(out)
    step = int(left.removeprefix("checkpoint-"))
    assert 0 < step < 400
    assert [line["step"] for line in log_of(out)] == list(range(1, step + 1))
    assert run(out, *arguments).code == 0
    assert [line["step"] for line in log_of(out)] == list(range(1, 401))


def test_a_finished_run_is_not_run_again(run: Esmkit, tmp_path: Path) -> None:
    arguments = (*SMALL, "--steps", "3", "--json")
    first = run(tmp_path / "run", *arguments)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    second = run(tmp_path / "run", *arguments)
    assert (second.code, json.loads(second.out)) == (0, json.loads(first.out))
    assert {path: path.stat().st_mtime_ns for path in files if path.suffix == ".safetensors"} == {
        path: stamp for path, stamp in files.items() if path.suffix == ".safetensors"
    }
    facts = json.loads(first.out)
    assert (facts["complete"], facts["steps"], facts["out"]) == (True, 3, str(tmp_path / "run" / "model"))


def test_training_learns_what_the_data_shows(run: Esmkit, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    repeats = [(f"r{n}", "".join(generator.choice([*"ACDEFGHIKL"], 2)) * 15) for n in range(200)]
    source = write_fasta(tmp_path / "repeats.fasta", repeats)
    held_out = write_fasta(tmp_path / "held_out.fasta", [("WY", "WY" * 15), *repeats[:20]])
    shape = ("--layers", "2", "--width", "32", "--heads", "2", "--threads", "1", "--learning-rate", "0.01")
    recipe = (
        "--steps",
        "60",
        "--warmup-steps",
        "5",
        "--batch-tokens",
        "1000",
        "--accumulate",
        "1",
        "--valid",
        held_out,
    )
    done = run(tmp_path / "run", *shape, *recipe, "--json", source=source)
    assert done.code == 0, done.err
    losses = [line["loss"] for line in log_of(tmp_path / "run") if "loss" in line]
    assert np.mean(losses[:3]) > 2.9
    assert np.mean(losses[-5:]) < 2.1  # a random guess among ten costs 2.3
    assert json.loads(done.out)["perplexity"] < 10


def test_transformers_and_esmkit_open_the_trained_model_and_the_checkpoint(run: Esmkit, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    assert run(tmp_path / "run", *SMALL, "--steps", "3", "--name", "my-model").code == 0
    for folder in (tmp_path / "run" / "model", tmp_path / "run" / checkpoints(tmp_path / "run")[0]):
        ours = esmkit.load(folder)
        theirs, report = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
        assert not any(report.values())
        tokens = torch.from_numpy(tokenize("MKTAYIAKQR").astype(np.int64))[None]
        expected = theirs.eval()(tokens).logits[0, 1:-1].detach().numpy()
        np.testing.assert_allclose(ours.logits("MKTAYIAKQR", vocabulary="full"), expected, atol=1e-5, rtol=1e-5)
        loaded = ours.engine.loaded
        assert (loaded.slug, loaded.about["steps"], loaded.notice) == ("my-model", 3, None)


def test_half_precision_model_has_half_the_bytes_and_the_same_weights(run: Esmkit, tmp_path: Path) -> None:
    assert run(tmp_path / "run", *SMALL, "--steps", "2", "--out-dtype", "float16").code == 0
    half = load_file(tmp_path / "run" / "model" / "model.safetensors")
    whole = load_file(tmp_path / "run" / "checkpoint-00000002" / "model.safetensors")
    compared = 0
    for name, value in whole.items():
        if "inv_freq" not in name:
            assert half[name].dtype == torch.float16
            assert torch.equal(half[name], value.half())
            compared += value.numel()
    assert compared > 6000


def test_training_goes_on_from_a_checkpoint_where_that_ended(run: Esmkit, tmp_path: Path) -> None:
    """With a rate that is nothing, the model that comes out is the one that went in."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(first, *SMALL, "--steps", "3").code == 0
    recipe = ("--steps", "1", "--learning-rate", "1e-30", "--warmup-steps", "0", "--crop", "60")
    done = run(second, "--from", first / "model", *recipe)
    assert done.code == 0, done.err
    before, after = (load_file(path / "model" / "model.safetensors") for path in (first, second))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((second / "run.json").read_text())["start"]["slug"] == "first"


def test_shape_can_come_from_a_config(run: Esmkit, tmp_path: Path) -> None:
    assert run(tmp_path / "first", *SMALL, "--steps", "1").code == 0
    config = tmp_path / "first" / "model" / "config.json"
    assert run(tmp_path / "second", "--config", config, *SMALL[len(SIZES) :], "--steps", "1").code == 0
    assert log_of(tmp_path / "first") == log_of(tmp_path / "second")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "2", "--layers", "2"), "by --layers, --width and --heads"),
        (("--steps", "2"), "say which model to train"),
        (("--steps", "2", *SIZES, "--from", "esm2-mini"), "say which model to train"),
        ((*SIZES,), "say when to end"),
        ((*SIZES, "--steps", "2", "--minutes", "1"), "say when to end"),
        ((*SIZES, "--steps", "0"), "--steps must be positive"),
        ((*SIZES, "--steps", "1", "--crop", "2"), "--crop must be at least 4"),
        ((*SIZES, "--steps", "1", "--final-rate", "2"), "--final-rate must be between 0 and 1"),
        (("--layers", "1", "--width", "20", "--heads", "4", "--steps", "1"), "width 20 does not divide into 4 heads"),
    ],
)
def test_wrong_arguments_are_explained(arguments: tuple[str, ...], message: str, run: Esmkit, tmp_path: Path) -> None:
    done = run(tmp_path / "run", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "run").exists()


def test_another_recipe_or_other_data_in_the_same_folder_is_refused(run: Esmkit, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, *SMALL, "--steps", "2").code == 0
    recipe = run(out, *SMALL, "--steps", "2", "--learning-rate", "0.5")
    assert (recipe.code, "recipe.learning_rate was 0.001, is 0.5" in " ".join(recipe.err.split())) == (2, True)
    other = write_fasta(tmp_path / "other.fasta", [("a", "MKTAYIAKQR")])
    data = run(out, *SMALL, "--steps", "2", source=other)
    assert (data.code, "data.train_sha256 was" in " ".join(data.err.split())) == (2, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    foreign = run(tmp_path / "mine", *SMALL, "--steps", "2")
    assert (foreign.code, "holds no training run" in foreign.err) == (2, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@contextmanager
def training(out: Path, recipe: Recipe, conduct: Conduct | None = None) -> Iterator[MlmTraining]:
    sequences = ["".join(np.random.default_rng(n).choice([*STANDARD], 30 + n)) for n in range(30)]
    corpus = Corpus.of(Record(n, str(n), sequence) for n, sequence in enumerate(sequences))
    module = initialised(ModelShape(1, 16, 2), seed=0, device=torch.device("cpu"))
    with TrainingFolder(out, {"test": 1}) as folder:
        yield MlmTraining(module, recipe, corpus, folder, held_out=corpus, conduct=conduct)


def stopping_after(steps: int) -> Conduct:
    """Leaves after so many steps, as after a signal."""
    seen: list[int] = []
    return Conduct(stop=lambda: len(seen) == steps, observe=lambda line, _: seen.append(1) if "loss" in line else None)


def clock(monkeypatch: pytest.MonkeyPatch, seconds_per_look: float) -> None:
    def looks() -> Iterator[float]:
        now = 1000.0
        while True:
            yield now
            now += seconds_per_look

    monkeypatch.setattr("time.perf_counter", looks().__next__)


def test_a_time_budget_decays_the_rate_and_counts_the_time_of_all_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock(monkeypatch, 6.0)
    recipe = Recipe(Budget("minutes", 2.0), batch_tokens=200, accumulate=1, warmup_steps=0, validations=4)
    with training(tmp_path / "run", recipe, stopping_after(8)) as first:
        assert not first.run()
        assert first.position.seconds == 48.0
    with training(tmp_path / "run", recipe) as second:
        assert second.position == first.position
        assert second.run()
        lines = second.folder.read_log()
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    np.testing.assert_allclose(rates, 1e-3 * (1 - np.arange(20) / 20), rtol=1e-9)
    assert [line["seconds"] for line in lines if "perplexity" in line] == [30.0, 60.0, 90.0, 120.0]


def test_a_loss_that_is_no_number_stops_the_run_and_spares_the_last_checkpoint(tmp_path: Path) -> None:
    def spoil() -> bool:
        if run.position.step == 5:
            run.module.get_parameter("final_norm.weight").data.fill_(float("nan"))
        return False

    recipe = Recipe(Budget("steps", 20), batch_tokens=200)
    conduct = Conduct(checkpoint_seconds=0, stop=spoil)
    with (
        training(tmp_path / "run", recipe, conduct) as run,
        pytest.raises(ModelExecutionError, match="at step 6 the loss is nan"),
    ):
        run.run()
    with training(tmp_path / "run", recipe) as resumed:
        assert resumed.position.step == 5
        assert all(bool(torch.isfinite(parameter).all()) for parameter in resumed.module.parameters())


@pytest.mark.parametrize("left", ["half a line", "half a checkpoint", "half a removed checkpoint"])
def test_what_a_killed_process_leaves_half_done_is_cleared_away(left: str, tmp_path: Path) -> None:
    recipe = Recipe(Budget("steps", 6), batch_tokens=200)
    with training(tmp_path / "whole", recipe) as undisturbed:
        assert undisturbed.run()
    with training(tmp_path / "run", recipe, stopping_after(3)) as run:
        assert not run.run()
    if left == "half a line":
        with (tmp_path / "run" / "log.jsonl").open("a") as file:
            file.write('{"step": 4, "loss": 3.1}\n{"step": 5, "lo')
    elif left == "half a checkpoint":
        (tmp_path / "run" / ".abc.partial" / "checkpoint-00000004").mkdir(parents=True)
    else:
        (tmp_path / "run" / "checkpoint-00000002").mkdir()
    with training(tmp_path / "run", recipe) as resumed:
        assert resumed.position.step == 3
        assert resumed.run()
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith((".a", "checkpoint"))] == [
        "checkpoint-00000006"
    ]


def test_low_precision_passes_train_weights_in_fp32(tmp_path: Path) -> None:
    for precision in ("bfloat16", "float32"):
        recipe = Recipe(Budget("steps", 5), batch_tokens=400, precision=precision)  # type: ignore[arg-type]
        with training(tmp_path / precision, recipe) as run:
            assert run.run()
            assert {parameter.dtype for parameter in run.module.parameters()} == {torch.float32}
    losses = [[line["loss"] for line in log_of(tmp_path / name) if "loss" in line] for name in ("bfloat16", "float32")]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def test_accumulated_passes_are_one_large_batch(tmp_path: Path) -> None:
    """Gradients of several passes are weighted by their hidden residues, as if they were one."""
    recipe = Recipe(Budget("steps", 1), batch_tokens=150, accumulate=3, clip=1e9)
    with training(tmp_path / "run", recipe) as run:
        before = {name: value.clone() for name, value in run.module.named_parameters()}
        batches = [batch for batch, _ in islice(run.stream.batches(), 3)]
        assert len({len(batch.targets) for batch in batches}) > 1
        parts = [summed_loss(run.module, batch, torch.device("cpu"), "sdpa") for batch in batches]
        loss = torch.stack(parts).sum() / sum(len(batch.targets) for batch in batches)
        trained = [parameter for parameter in run.module.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(loss, trained)
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
        assert run.run()
        line = run.folder.read_log()[0]
    assert line["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert line["gradient_norm"] == pytest.approx(norm.item(), rel=1e-5)
    assert (run.position.place.epoch, run.position.place.batch) == (0, 3)
    after = dict(run.module.named_parameters())
    assert {name for name in before if torch.equal(after[name], before[name])} == {
        "contact_head.weight",
        "contact_head.bias",
    }


def test_a_budget_is_used_by_what_it_counts() -> None:
    position = Position(step=5, tokens=1000, seconds=90.0, place=Place(1, 2, 1.5))
    shares = {unit: Budget(unit, 10).share(position) for unit in ("steps", "epochs", "minutes", "tokens")}
    assert shares == {"steps": 0.5, "epochs": 0.15, "minutes": 0.15, "tokens": 1.0}


@pytest.mark.parametrize(("decay", "middle"), [("linear", 0.55), ("cosine", 0.55), ("trapezoid", 1.0)])
def test_every_decay_rises_to_the_peak_and_ends_at_the_final_rate(decay: Any, middle: float) -> None:
    recipe = Recipe(Budget("steps", 10), learning_rate=2.0, warmup_steps=4, decay=decay, final_rate=0.1)
    assert recipe.rate(0, 0.0) == 0.5
    assert recipe.rate(100, 0.5) == pytest.approx(2.0 * middle)
    assert recipe.rate(100, 1.0) == pytest.approx(0.2)


def test_the_loss_curve_is_drawn(run: Esmkit, tmp_path: Path) -> None:
    arguments = ("--steps", "4", "--valid", EXAMPLES, "--plot", tmp_path / "loss.png")
    assert run(tmp_path / "run", *SMALL, *arguments).code == 0
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"
