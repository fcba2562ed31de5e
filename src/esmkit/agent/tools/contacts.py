"""`contacts_summary`: which residues a model believes to touch."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from esmkit.agent import pictures
from esmkit.agent.text import MARK
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Name, Sequence
from esmkit.types import FloatArray

_RANGES = {
    "near (1 to 5)": (1, 6),
    "short (6 to 11)": (6, 12),
    "medium (12 to 23)": (12, 24),
    "long (24 and more)": (24, 10**9),
}
_LIMITS = (
    "Probabilities of a logistic regression on the attention maps of the model, for C-beta atoms closer than 8 A. One "
    "chain, no structure: small models find few of the true contacts, and what is not listed may still be one."
)


class ContactsSummary(Arguments):
    """A protein, and which contacts to list."""

    sequence: Sequence
    name: Name = None
    threshold: Annotated[float, Field(ge=0, le=1, description="Probability from which a pair counts.")] = 0.5
    separation: Annotated[
        int, Field(ge=1, le=1000, description="Residues that a pair is apart in the sequence, at least.")
    ] = 6
    most: Annotated[int, Field(ge=1, le=100, description="Contacts to list, the most probable first.")] = 20
    picture: Annotated[bool, Field(description="Also draw the contact map.")] = True
    model: Model = None


async def _contacts(asked: ContactsSummary, session: Session) -> Answer:
    answer = await called(session, asked.model, "encode", [{"sequence": asked.sequence}], {"include": ["contacts"]})
    contacts_LL = np.array(answer.results[0]["contacts"], dtype=np.float32)
    name = asked.name or "protein"
    kept = {"kind": "contacts", "name": name, "contacts": contacts_LL, "made_by": answer.made_by}
    picture, remark = await pictures.contact_map(contacts_LL, name) if asked.picture else (None, "not asked for")
    content: dict[str, Any] = {
        "name": name,
        "residues": len(contacts_LL),
        "threshold": asked.threshold,
        **_found(asked, contacts_LL),
        "picture": remark,
        "handle": session.results.put(session.owner, kept),
        "method": "contact head of ESM-2; positions from 1, a before b",
        "limits": _LIMITS,
        "note": MARK,
        "made_by": answer.made_by,
    }
    return Answer(content, picture)


def _found(asked: ContactsSummary, contacts_LL: FloatArray) -> dict[str, Any]:
    length, sequence = len(contacts_LL), asked.sequence
    a, b = np.triu_indices(length, asked.separation)
    probabilities = contacts_LL[a, b]
    is_contact, apart = probabilities >= asked.threshold, b - a
    best = np.argsort(-probabilities, kind="stable")[: asked.most]
    listed = [
        {
            "a": f"{sequence[a[at]]}{a[at] + 1}",
            "b": f"{sequence[b[at]]}{b[at] + 1}",
            "probability": round(float(probabilities[at]), 4),
        }
        for at in best
        if is_contact[at]
    ]
    return {
        "contacts": int(is_contact.sum()),
        "by_separation": {
            name: int((is_contact & (apart >= low) & (apart < high)).sum())
            for name, (low, high) in _RANGES.items()
            if high > asked.separation
        },
        "highest_probability": round(float(probabilities.max()), 4) if len(probabilities) else None,
        "most_probable": listed,
    }


CONTACTS_SUMMARY = Tool(
    name="contacts_summary",
    title="Predicted contacts",
    description="Which residues of one protein an ESM-2 model believes to touch in its fold. Gives the number of pairs "
    "above a probability by their separation in the sequence, the most probable pairs (positions from 1), a picture of "
    "the contact map if the server can draw, and a handle of the whole map. Use it for questions about structure; it "
    "predicts no coordinates.",
    arguments=ContactsSummary,
    run=_contacts,
)
