"""The library's front door: `esmkit.load(...)` gives a Model that answers with numpy arrays.

Shapes: n sequences, L residues, D width, N layers, H heads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.config import Settings
from esmkit.engine.engine import Engine
from esmkit.engine.threads import set_threads
from esmkit.errors import InvalidConfigError
from esmkit.inputs import from_sequences
from esmkit.models.save import save_pretrained
from esmkit.models.weights import load as load_weights
from esmkit.outputs import OutputOptions, build
from esmkit.outputs.base import Vocabulary
from esmkit.types import FloatArray, ModelShape, Record, Result

Sequences = str | Iterable[str] | Iterable[Record]
Pool = Literal["mean", "max", "bos", "per_residue"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Prediction:
    """Masked prediction for one sequence with M masks.

    Attributes:
        positions: int32 [M], 1-based.
        residues: [M, k] strings, most probable first.
        probabilities: float32 [M, k].
        filled_sequence: the most probable residue at every mask.
    """

    positions: np.ndarray[Any, Any]
    residues: np.ndarray[Any, Any]
    probabilities: FloatArray
    filled_sequence: str


def load(
    name: str | Path = "esm2-mini",
    *,
    device: str = "auto",
    dtype: str = "float32",
    attention: str = "auto",
    batch_tokens: int | None = None,
    threads: int | None = None,
    length: LengthPolicy | None = None,
    residues: ResiduePolicy | None = None,
    settings: Settings | None = None,
) -> Model:
    """Loads a model by slug, checkpoint name, hub id, or path.

    Args:
        name: `esm2-650m`, `esm2_t33_650M_UR50D`, `facebook/esm2_t33_650M_UR50D`, a directory in Hugging Face format,
            or a fair-esm `.pt` file. Weights must be on this machine: see `esmkit models pull`.
        device: auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.
        dtype: float32, float16 or bfloat16.
        attention: auto, eager, sdpa, native or varlen.
        batch_tokens: tokens per batch; chosen from the device's free memory by default.
        threads: CPU threads of this process; what the container allows by default.
        length: limit and policy for long sequences.
        residues: what may be repaired in sequences.
        settings: where weights are kept; from the environment by default.

    Raises:
        UnknownModelError: no such model.
        WeightsError: the weights are missing, damaged or not a model that esmkit runs.
        InvalidConfigError: an argument is out of its range.

    Example:
        >>> model = load("esm2-mini")
        >>> model.embed("MKTAYIAKQR").shape == (model.width,)
        True
    """
    set_threads(threads)
    if dtype not in DTYPES:
        raise InvalidConfigError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}", setting="dtype")
    settings = settings or Settings.from_env(os.environ)
    loaded = load_weights(str(name), settings=settings, device=choose_device(device), dtype=DTYPES[dtype])
    return Model(Engine(loaded, backend=attention, batch_tokens=batch_tokens), length=length, residues=residues)


def choose_device(name: str) -> torch.device:
    """The torch device for a name; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        InvalidConfigError: no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise _unusable(name, "there is no such kind of device") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise _unusable(name, str(error).splitlines()[0]) from error
    return device


def _unusable(name: str, reason: str) -> InvalidConfigError:
    return InvalidConfigError(
        f"device {name!r} cannot be used here ({reason}); choose auto, cpu, cuda, cuda:N or mps", setting="device"
    )


class Model:
    """A loaded model. Every method takes one sequence (answers one array) or several (answers in their order)."""

    def __init__(
        self, engine: Engine, *, length: LengthPolicy | None = None, residues: ResiduePolicy | None = None
    ) -> None:
        self.engine = engine
        self.length = length or LengthPolicy()
        self.residues = residues or ResiduePolicy()

    @property
    def shape(self) -> ModelShape:
        """Layers, width and heads."""
        return self.engine.loaded.shape

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return self.shape.width

    @property
    def provenance(self) -> dict[str, Any]:
        """What makes the answers: slug, weights sha256, dtype, attention back end, device, versions."""
        return dict(self.engine.provenance)

    def run(
        self, sequences: Sequences, outputs: Sequence[str], *, options: OutputOptions | None = None
    ) -> list[Result]:
        """Any outputs in one pass; see `esmkit.outputs.known()` for their names.

        Raises:
            UserError: a sequence, output or option is not acceptable; names what and where.
        """
        chosen = build(outputs, self.shape, options)
        results = self.engine.run(from_sequences(sequences), chosen, length=self.length, residues=self.residues)
        return [result for result in results if isinstance(result, Result)]

    def embed(self, sequences: Sequences, *, layers: int | Sequence[int] = -1, pool: Pool = "mean") -> Any:
        """Embeddings of chosen layers.

        Args:
            sequences: one sequence or several.
            layers: one layer, 0..N or negative, or several.
            pool: `mean` or `max` over residues, `bos` (the cls token), or `per_residue`.

        Returns:
            float32 [D] for one sequence, [n, D] for several; [L, D] or a list of those for `per_residue`; with several
            layers a dictionary from layer number (0..N) to that.

        Example:
            >>> load().embed(["MKT", "GSH"]).shape
            (2, 160)
        """
        if pool not in ("mean", "max", "bos", "per_residue"):
            raise InvalidConfigError(f"pool {pool!r}: choose mean, max, bos or per_residue", setting="pool")
        wanted = (layers,) if isinstance(layers, int) else tuple(layers)
        results = self.run(sequences, [pool], options=OutputOptions(layers=wanted))
        numbers = [self.shape.layer(layer) for layer in wanted]
        single = isinstance(sequences, str)
        by_layer = {
            number: _shaped(
                [result.arrays[f"{pool}_{number}"] for result in results], single, stack=pool != "per_residue"
            )
            for number in numbers
        }
        return by_layer[numbers[0]] if isinstance(layers, int) else by_layer

    def contacts(self, sequences: Sequences) -> Any:
        """Contact probabilities, float32 [L, L], symmetric; a list of them for several sequences."""
        return self._one_array(sequences, "contacts", "contacts")

    def attentions(
        self, sequences: Sequences, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
    ) -> Any:
        """Attention maps of chosen layers and heads, or per-layer means.

        Args:
            sequences: one sequence or several.
            layers: 1..N or negative.
            heads: 1..H.

        Returns:
            float32 [layers, heads, L, L] when layers or heads are given; otherwise [N, L], the attention each residue
            receives averaged over heads and queries, as BioLM's API gives. A list of those for several sequences.
        """
        if layers is None and heads is None:
            return self._one_array(sequences, "attentions", "attentions")
        options = OutputOptions(
            attention_layers=None if layers is None else tuple(layers),
            attention_heads=None if heads is None else tuple(heads),
        )
        return self._one_array(sequences, "attention_maps", "attention_maps", options)

    def logits(self, sequences: Sequences, *, vocabulary: Vocabulary = "standard") -> Any:
        """Logits, float32 [L, 20] in the order of `esmkit.alphabet.STANDARD`, or [L, 33] with vocabulary="full"."""
        return self._one_array(sequences, "logits", "logits", OutputOptions(vocabulary=vocabulary))

    def predict_masked(
        self, sequences: Sequences, *, top_k: int = 5, vocabulary: Vocabulary = "standard"
    ) -> Prediction | list[Prediction]:
        """What the model puts in place of each `<mask>`; probabilities over the chosen vocabulary.

        Example:
            >>> load().predict_masked("MKT<mask>YIAK", top_k=3).residues.shape
            (1, 3)
        """
        results = self.run(sequences, ["predict"], options=OutputOptions(top_k=top_k, vocabulary=vocabulary))
        names = ("masked_positions", "predicted_residues", "predicted_probabilities", "filled_sequence")
        predictions = [Prediction(*(result.arrays[name] for name in names)) for result in results]
        return predictions[0] if isinstance(sequences, str) else predictions

    def log_prob(self, sequences: Sequences, *, vocabulary: Vocabulary = "standard") -> Any:
        """Sum of log p(residue | whole sequence), one unmasked pass: a float, or float64 [n] for several."""
        return self._one_array(sequences, "log_prob", "log_prob", OutputOptions(vocabulary=vocabulary), stack=True)

    def pseudo_log_likelihood(self, sequences: Sequences, *, vocabulary: Vocabulary = "standard") -> Any:
        """Sum of log p(residue | all others), one mask per position: a float, or float64 [n] for several."""
        name, options = "pseudo_log_likelihood", OutputOptions(vocabulary=vocabulary)
        return self._one_array(sequences, name, name, options, stack=True)

    def pseudo_perplexity(self, sequences: Sequences, *, vocabulary: Vocabulary = "standard") -> Any:
        """exp(-pseudo_log_likelihood / scored residues): a float, or float64 [n] for several."""
        name, options = "pseudo_log_likelihood", OutputOptions(vocabulary=vocabulary)
        return self._one_array(sequences, name, "pseudo_perplexity", options, stack=True)

    def save_pretrained(self, directory: str | Path) -> None:
        """Writes the weights in Hugging Face format, in the dtype they have here; transformers opens it too."""
        save_pretrained(self.engine.loaded.module, Path(directory), about=self.engine.loaded.about)

    def _one_array(
        self,
        sequences: Sequences,
        output: str,
        column: str,
        options: OutputOptions | None = None,
        *,
        stack: bool = False,
    ) -> Any:
        results = self.run(sequences, [output], options=options)
        return _shaped([result.arrays[column] for result in results], isinstance(sequences, str), stack=stack)


def _shaped(arrays: list[Any], single: bool, *, stack: bool) -> Any:
    if single:
        return arrays[0]
    return np.stack(arrays) if stack and arrays else arrays
