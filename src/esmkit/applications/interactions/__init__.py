"""Interactions: what a model says about two proteins together: contacts between them, and features for a predictor."""

from esmkit.applications.interactions.contacts import InterfaceResidue, PairContacts, contacts, stream
from esmkit.applications.interactions.features import BLOCKS, combined, features

__all__ = ["BLOCKS", "InterfaceResidue", "PairContacts", "combined", "contacts", "features", "stream"]
