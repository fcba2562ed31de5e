"""What ESM-2 is and when to use it, in the shape in which BioLM's open gateway tells that of its models."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from esmkit.server.wire.esm2_docs import Shown

FAMILY = "esm2"


class License(Shown):
    """Under which terms the public weights are."""

    type: str = Field(description="Short name.")
    url: str = Field(description="Its text.")
    notes: str = Field(description="Anything else about it.")


class Paper(Shown):
    """A publication."""

    title: str = Field(description="Its title.")
    year: int = Field(description="When it appeared.")
    doi: str = Field(description="Its DOI.")
    venue: str = Field(description="Where it appeared.")
    authors: list[str] = Field(description="Authors, the first ones.")


class SourceRepo(Shown):
    """Where the model comes from."""

    type: str = Field(description="Kind of place, such as github.")
    url: str = Field(description="Its address.")


class Alternative(Shown):
    """Another model for the same purpose."""

    model: str = Field(description="Its name.")
    when_better: str = Field(description="When to prefer it.")
    when_worse: str = Field(description="When to prefer this one.")


class Complement(Shown):
    """A model that works together with this one."""

    model: str = Field(description="Its name.")
    workflow: str = Field(description="How.")


class DocSection(Shown):
    """A part of a document."""

    title: str = Field(description="Its heading.")
    level: int = Field(description="Depth of the heading, 1 to 6.")
    body: str = Field(description="Its text.")


class Knowledge(Shown):
    """What is known of a family of models."""

    slug: str = Field(description="The family, whichever of its models was asked for.")
    display_name: str = Field(description="Name for people.")
    one_liner: str = Field(description="The whole in one line.")
    license: License = Field(description="Terms of the public weights.")
    molecule_types: list[str] = Field(description="What its input describes.")
    applicable_to: list[str] = Field(description="Kinds of molecules it is of use for.")
    tasks: list[str] = Field(description="What it does.")
    primary_papers: list[Paper] = Field(description="Where it was published.")
    applied_literature: list[Paper] = Field(description="Work that uses it; none is listed.")
    source_repos: list[SourceRepo] = Field(description="Original code and weights.")
    strengths: list[str] = Field(description="What it is good at.")
    weaknesses: list[str] = Field(description="What it is not good at.")
    use_when: list[str] = Field(description="When to use it.")
    dont_use_when: list[str] = Field(description="When not to.")
    alternatives: list[Alternative] = Field(description="Other models; none is listed.")
    complements: list[Complement] = Field(description="Models that work with it; none is listed.")
    documents: dict[str, list[DocSection]] = Field(description="Longer texts by name; esmkit has none, see /docs.")
    missing: list[str] = Field(description="Which of the gateway's texts there are not.")


KNOWLEDGE = Knowledge(
    slug=FAMILY,
    display_name="ESM2",
    one_liner="Protein language models that read one sequence, without an alignment: embeddings, contacts, "
    "likelihoods of residues and sequences.",
    license=License(
        type="MIT",
        url="https://github.com/facebookresearch/esm/blob/main/LICENSE",
        notes="The public checkpoints; weights of your own have your own terms.",
    ),
    molecule_types=["protein"],
    applicable_to=["protein"],
    tasks=["embedding", "sequence_completion", "property_prediction"],
    primary_papers=[
        Paper(
            title="Evolutionary-scale prediction of atomic-level protein structure with a language model",
            year=2023,
            doi="10.1126/science.ade2574",
            venue="Science",
            authors=["Zeming Lin", "Halil Akin", "Roshan Rao", "Brian Hie"],
        )
    ],
    applied_literature=[],
    source_repos=[
        SourceRepo(type="github", url="https://github.com/facebookresearch/esm"),
        SourceRepo(type="huggingface", url="https://huggingface.co/facebook/esm2_t33_650M_UR50D"),
    ],
    strengths=[
        "Needs nothing but the sequence: no alignment, no structure.",
        "One pass gives embeddings, contacts and logits of every residue.",
        "Six sizes, from 8 million to 15 billion parameters, with the same input and output.",
    ],
    weaknesses=[
        "log_prob is the sum over one pass that sees the residues it scores; it is no true likelihood.",
        "Proteins with few relatives in UniRef50 are read less well.",
        "Trained on sequences of up to 1,024 tokens; longer ones are beyond what it has seen.",
    ],
    use_when=[
        "Embeddings of proteins are the input of a model of your own.",
        "Variants are to be ranked without measurements.",
        "Contacts are wanted quickly, without an alignment.",
    ],
    dont_use_when=[
        "A structure is wanted: use a folding model.",
        "Nucleic acids or small molecules matter: it reads proteins only.",
    ],
    alternatives=[],
    complements=[],
    documents={"README": [], "MODEL": [], "BIOLOGY": []},
    missing=["README.md", "MODEL.md", "BIOLOGY.md"],
)


def markdown(known: Knowledge) -> str:
    """The same as one Markdown document."""
    return "\n\n".join(_blocks(known)) + "\n"


def _blocks(known: Knowledge) -> Iterator[str]:
    yield f"# {known.display_name}"
    yield f"> {known.one_liner}"
    yield f"## Metadata\n\n- **License:** {known.license.type}\n- **Tasks:** {', '.join(known.tasks)}"
    for title, lines in (
        ("Use when", known.use_when),
        ("Don't use when", known.dont_use_when),
        ("Strengths", known.strengths),
        ("Weaknesses", known.weaknesses),
        ("Papers", [f"{paper.title} ({paper.year}), {paper.doi}" for paper in known.primary_papers]),
    ):
        yield f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)
