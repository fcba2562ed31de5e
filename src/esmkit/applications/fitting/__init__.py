"""Predictors fitted to labelled proteins: an estimator of scikit-learn on pooled representations of a model.

`data` is what to fit to, with relatives kept together (`clusters`); `fit` chooses among `candidates` by
cross-validation (`selection`), compares with `baselines`, and tells how sure the scores are (`intervals`); `plots`
draws them.
"""

from esmkit.applications.fitting.data import FitData, fit_data, read_fit_data
from esmkit.applications.fitting.fit import fit
from esmkit.applications.fitting.options import FitOptions
from esmkit.applications.fitting.result import Fit
from esmkit.applications.fitting.selection import Trial

__all__ = ["Fit", "FitData", "FitOptions", "Trial", "fit", "fit_data", "read_fit_data"]
