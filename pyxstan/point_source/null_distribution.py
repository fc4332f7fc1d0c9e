"""The distribution of the test statistic where there is no source, from scrambled skies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats

#: Trials above zero that a chi^2 is fitted to.
_FEWEST = 20


@dataclass(frozen=True)
class NullDistribution:
    """Of the test statistic without a source: nothing in a part of all skies, else a scaled chi^2.

    Parameters
    ----------
    ts
        Of the trials, rising.
    positive
        The part of them above zero.
    scale, dof
        Of the chi^2 of the others: TS / scale follows it; NaN where they are too few to tell.
    """

    ts: Floats
    positive: float
    scale: float
    dof: float

    @classmethod
    def of(cls, ts: Floats) -> NullDistribution:
        """Fit one to trials."""
        ts = np.sort(np.asarray(ts, dtype=float))
        above = ts[ts > 0]
        if len(above) < _FEWEST:
            return cls(ts, len(above) / max(len(ts), 1), np.nan, np.nan)

        def lost(log: Floats) -> float:
            scale, dof = np.exp(log)
            return -float(chi2.logpdf(above / scale, dof).sum() - len(above) * log[0])

        found = np.exp(minimize(lost, np.log([1.0, above.mean()]), method="Nelder-Mead").x)
        return cls(ts, len(above) / len(ts), float(found[0]), float(found[1]))

    def p_value(self, ts: float) -> float:
        """Of the trials: the part that does as well, the data among them."""
        return float((1 + (self.ts >= ts).sum()) / (1 + len(self.ts)))

    def minus_log10_p(self, ts: Floats) -> Floats:
        """-log10 of p-values of the chi^2; of the trials, where these are too few for one."""
        if np.isnan(self.dof):
            p = [self.p_value(each) for each in np.atleast_1d(ts)]
            return np.asarray(-np.log10(np.reshape(p, np.shape(ts))))
        log_p = np.log(max(self.positive, 1e-300)) + chi2.logsf(ts / self.scale, self.dof)
        return np.where(ts > 0, -log_p / np.log(10.0), 0.0)

    def quantile(self, p: float) -> float:
        """TS that is exceeded with probability 1 - p, by the chi^2.

        Raises
        ------
        DataError
            Too few trials are above zero to fit one.
        """
        if 1.0 - p >= self.positive:
            return 0.0
        if np.isnan(self.dof):
            raise DataError(
                f"{(self.ts > 0).sum()} of {len(self.ts)} skies without a source have a test "
                f"statistic above zero, at least {_FEWEST} are needed: try more"
            )
        return float(self.scale * chi2.isf((1.0 - p) / self.positive, self.dof))
