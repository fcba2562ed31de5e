"""Design: proposals for directed evolution, and the next plate from what earlier rounds measured.

space, objective -> search, sampling -> proposals
measured, candidates, features -> ensemble -> plate
diverse                                 constraints
"""

from esmkit.applications.design.candidates import offspring, offspring_of_best
from esmkit.applications.design.ensemble import Ensemble
from esmkit.applications.design.features import Featurizer
from esmkit.applications.design.measured import Measured, read_rounds
from esmkit.applications.design.objective import Likelihood, Objective, PredictedProperty, Weighted
from esmkit.applications.design.plate import Plate, Policy, Suggestion, next_plate
from esmkit.applications.design.proposals import Proposal, Strategy, propose
from esmkit.applications.design.space import Space

__all__ = [
    "Ensemble",
    "Featurizer",
    "Likelihood",
    "Measured",
    "Objective",
    "Plate",
    "Policy",
    "PredictedProperty",
    "Proposal",
    "Space",
    "Strategy",
    "Suggestion",
    "Weighted",
    "next_plate",
    "offspring",
    "offspring_of_best",
    "propose",
    "read_rounds",
]
