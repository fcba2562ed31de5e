"""`embed` and `similarity`: proteins as vectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from esmkit.agent.errors import ToolError
from esmkit.agent.text import MARK
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Protein, names_of

MOST_PROTEINS = 64
_WHOLE_MATRIX = 12
_PAIRS = 20
_READING = (
    "Cosines of the angle between embeddings, -1 to 1. Mean embeddings of ESM-2 point in similar directions for all "
    "proteins, so compare them with each other rather than with 0; high ones hint at shared structure or function and "
    "prove nothing."
)

Proteins = Annotated[
    list[Protein], Field(max_length=MOST_PROTEINS, description="The proteins, answered in this order.")
]
Layer = Annotated[
    int,
    Field(ge=-128, le=128, description="Of the model: 0 is the input embedding, 1 the first layer, -1 the last."),
]
Pool = Annotated[
    Literal["mean", "max"], Field(description="How the vectors of the residues become one vector of the protein.")
]


class Embed(Arguments):
    """Proteins to embed."""

    proteins: Annotated[Proteins, Field(min_length=1)]
    layer: Layer = -1
    pool: Pool = "mean"
    model: Model = None


class Similarity(Arguments):
    """Proteins to compare, or a handle of embed."""

    proteins: Proteins = Field(default_factory=list, description="Two or more; or leave it out and give a handle.")
    handle: Annotated[str | None, Field(max_length=100, description="Of a result of embed, instead of proteins.")] = (
        None
    )
    layer: Layer = -1
    pool: Pool = "mean"
    model: Model = None

    @model_validator(mode="after")
    def _one_source(self) -> Similarity:
        if (self.handle is None) == (not self.proteins):
            raise ValueError("give either proteins or a handle of embed")
        if len(self.proteins) == 1:
            raise ValueError("give two proteins at least")
        return self


async def _embedded(asked: Embed | Similarity, session: Session) -> dict[str, Any]:
    items = [{"sequence": protein.sequence} for protein in asked.proteins]
    answer = await called(session, asked.model, "encode", items, {"repr_layers": [asked.layer], "pool": asked.pool})
    found = [entry["embeddings"][0] for entry in answer.results]
    return {
        "kind": "embeddings",
        "names": names_of(asked.proteins),
        "residues": [len(protein.sequence) for protein in asked.proteins],
        "layer": found[0]["layer"],
        "pool": asked.pool,
        "made_by": answer.made_by,
        "embeddings": np.array([each["embedding"] for each in found], dtype=np.float32),
    }


async def _embed(asked: Embed, session: Session) -> Answer:
    kept = await _embedded(asked, session)
    vectors = kept["embeddings"]
    norms = np.linalg.norm(vectors, axis=1)
    proteins = [
        {"name": name, "residues": residues, "norm": round(float(norm), 4)}
        for name, residues, norm in zip(kept["names"], kept["residues"], norms, strict=True)
    ]
    content = {
        "handle": session.results.put(session.owner, kept),
        "shape": list(vectors.shape),
        "proteins": proteins,
        "layer": kept["layer"],
        "method": f"{asked.pool} over the residues' vectors of layer {kept['layer']}",
        "next": "similarity takes the handle; fetch_result gives the numbers in slices",
        "note": MARK,
        "made_by": kept["made_by"],
    }
    return Answer(content)


async def _similarity(asked: Similarity, session: Session) -> Answer:
    kept = await _embedded(asked, session) if asked.handle is None else session.results.get(session.owner, asked.handle)
    if kept.get("kind") != "embeddings":
        raise ToolError("this handle is not one of embed")
    if len(kept["names"]) < 2:
        raise ToolError("the result has one protein; two at least are needed")
    names, vectors = kept["names"], np.asarray(kept["embeddings"], dtype=np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    upper = [(float(cosines[i, j]), i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    ranked = sorted(upper, key=lambda each: (-each[0], each[1:]))
    content: dict[str, Any] = {
        "most_alike": [{"a": names[i], "b": names[j], "cosine": round(c, 4)} for c, i, j in ranked[:_PAIRS]],
        "least_alike": {"a": names[ranked[-1][1]], "b": names[ranked[-1][2]], "cosine": round(ranked[-1][0], 4)},
        "pairs": len(ranked),
        "method": f"cosine of {kept['pool']} embeddings of layer {kept['layer']}",
        "reading": _READING,
        "note": MARK,
        "made_by": kept["made_by"],
    }
    if len(names) <= _WHOLE_MATRIX:
        content["matrix"] = {"order": names, "cosines": np.round(cosines, 4).tolist()}
    else:
        whole = {
            "kind": "similarity",
            "names": names,
            "cosines": cosines.astype(np.float32),
            "made_by": kept["made_by"],
        }
        content["handle"] = session.results.put(session.owner, whole)
    return Answer(content)


EMBED = Tool(
    name="embed",
    title="Embed proteins",
    description="Turns proteins into vectors (embeddings) with an ESM-2 model. Gives a handle and a summary: shape "
    "(proteins x dimensions), residues and norm of each; never the vectors themselves. Use it when later steps need "
    "the vectors; for 'how alike are these proteins' use similarity at once.",
    arguments=Embed,
    run=_embed,
)
SIMILARITY = Tool(
    name="similarity",
    title="Similarity of proteins",
    description="How alike two or more whole proteins are to an ESM-2 model: cosines (-1 to 1) between their "
    "embeddings, ranked pairs, and a matrix for few proteins. Takes sequences, or a handle of embed. For which "
    "residues correspond in two proteins use compare; for the nearest proteins of a database use search.",
    arguments=Similarity,
    run=_similarity,
)
