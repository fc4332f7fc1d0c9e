"""Posterior samples of many objects: what the stacking models take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyxstan.errors import DataError
from pyxstan.stacking.sample_priors import Priors, inverse_prior

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """What the survey detects, as injected values of the parameters that were found.

    The detected fraction of a population with density p is the sum of ``weights`` times p(``x``).
    """

    #: Parameters of the detected injections, shape (detected, parameters).
    x: Floats
    #: One over the density they were injected from and over how many were injected in all.
    weights: Floats
    #: Whether these are points and weights of a quadrature, without noise.
    exact: bool = False

    @property
    def shares(self) -> Floats:
        """The weights over their sum: what outliers anywhere in the range add to is then alike."""
        return np.asarray(self.weights / self.weights.sum())

    @property
    def log_total(self) -> float:
        """Log of that sum."""
        return float(np.log(self.weights.sum()))

    def detected(self, p: Floats) -> Floats:
        """The detected fraction of populations, for their densities at x, shape (..., detected)."""
        return np.asarray(p @ self.weights)


@dataclass(frozen=True)
class PosteriorSamples:
    """Posterior samples of the parameters of many objects, each fitted on its own.

    Make one with `from_arrays`, `from_text`, `from_runs`, `from_netcdf` or `from_frame`. They all
    take

    prior
        The prior under which the objects were fitted: ``"uniform"`` (default), ``"loguniform"``,
        ``"normal(mean, sd)"``, or by parameter a dict of those. The samples are weighted by one
        over it, so that the population's distribution takes its place.
    covariates
        Known properties of the objects: a table (file, DataFrame, dict) with a column ``object``
        and one a covariate, or a mapping of covariate to an array in the order of the objects.
    selection
        What the survey detects: a table with a column a parameter and ``probability`` (of
        detection, for one parameter, linear in between), or one with a column a parameter and
        ``weight``, one row a detected injection: one over the density that it was drawn from and
        over how many were injected in all.

    Attributes
    ----------
    objects
        Names of the N objects.
    parameters
        Names of the D parameters.
    x
        All samples, object by object, shape (samples, D).
    start
        Where the samples of each object begin, and the end, shape (N + 1,).
    weights
        Of the samples; those of an object sum to one.
    """

    objects: tuple[str, ...]
    parameters: tuple[str, ...]
    x: Floats
    start: NDArray[np.intp]
    weights: Floats
    #: By name, one value an object.
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    selection: Selection | None = None
    source: str = "samples"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.objects:
            raise DataError(f"{self.source}: no objects")
        for what, names in (("object", self.objects), ("parameter", self.parameters)):
            name, times = Counter(names).most_common(1)[0] if names else ("", 0)
            if times > 1:
                raise DataError(f"{self.source}: {what} '{name}' is there twice")
        if not self.parameters or self.x.shape[1] != len(self.parameters):
            raise DataError(
                f"{self.source}: {self.x.shape[1]} columns of samples, but names of "
                f"{len(self.parameters)} ({', '.join(self.parameters)})"
            )
        sizes = np.diff(self.start)
        if (sizes < 1).any():
            raise DataError(
                f"{self.source}: object '{self.objects[int(np.argmin(sizes))]}' has no samples"
            )
        bad = ~np.isfinite(self.x).all(axis=1)
        if bad.any():
            k = int(np.argmax(bad))
            where = self.name_of(k)
            raise DataError(
                f"{self.source}: {where}: {self.x[k].tolist()} is not finite, expected numbers"
            )
        bad = ~(np.isfinite(self.weights) & (self.weights >= 0))
        if bad.any():
            k = int(np.argmax(bad))
            raise DataError(
                f"{self.source}: {self.name_of(k)}: weight is {self.weights[k]:g}, "
                "expected zero or a positive number"
            )

    def name_of(self, k: int) -> str:
        """Name the sample at a position among all as the user knows it."""
        i = int(np.searchsorted(self.start, k, side="right")) - 1
        return f"object '{self.objects[i]}', sample {k - int(self.start[i]) + 1}"

    @property
    def sizes(self) -> NDArray[np.intp]:
        """How many samples each object has."""
        return np.diff(self.start)

    @property
    def object_of(self) -> NDArray[np.intp]:
        """Position of the object that each sample is of."""
        return np.repeat(np.arange(len(self.objects)), self.sizes)

    def of(self, i: int) -> Floats:
        """The samples of object i, shape (samples, D)."""
        return self.x[self.start[i] : self.start[i + 1]]

    def kept(self, objects: NDArray[np.bool_]) -> PosteriorSamples:
        """These objects alone."""
        samples = np.repeat(objects, self.sizes)
        return replace(
            self,
            objects=tuple(np.array(self.objects, dtype=object)[objects]),
            x=self.x[samples],
            weights=self.weights[samples],
            start=np.append(0, np.cumsum(self.sizes[objects])),
            covariates={name: values[objects] for name, values in self.covariates.items()},
        )

    @classmethod
    def from_arrays(
        cls,
        samples: Sequence[ArrayLike] | NDArray[Any],
        *,
        parameters: str | Sequence[str] = "x",
        objects: Sequence[str] | None = None,
        weights: Sequence[ArrayLike] | NDArray[Any] | None = None,
        prior: Priors = "uniform",
        covariates: Any = None,
        selection: Any = None,
        source: str = "samples",
        notes: tuple[str, ...] = (),
    ) -> PosteriorSamples:
        """Samples in memory.

        Parameters
        ----------
        samples
            One array an object, of shape (samples,) or (samples, D); their numbers may differ. Or
            one array (objects, samples) or (objects, samples, D).
        parameters
            Name of the parameter, or names of all D.
        objects
            Their names; default: 1, 2, 3 ...
        weights
            Of the samples of each object, for samples that are not equally weighted; they multiply
            what `prior` makes.

        Raises
        ------
        DataError
            A sample that is not a finite number, an object without samples or of another number of
            parameters, negative weights, a prior that is zero at a sample.

        Examples
        --------
        >>> data = PosteriorSamples.from_arrays([[1.8, 1.9, 2.1], [1.5, 1.7]], parameters="index")
        >>> data.sizes
        array([3, 2])
        """
        names = (parameters,) if isinstance(parameters, str) else tuple(map(str, parameters))
        if len(samples) == 0:
            raise DataError(f"{source}: no objects")
        labels = tuple(map(str, objects if objects is not None else range(1, len(samples) + 1)))
        if len(labels) != len(samples):
            raise DataError(f"{source}: {len(samples)} objects, but {len(labels)} names")
        parts = [
            _numbers(one, f"{source}: object '{name}'", len(names))
            for name, one in zip(labels, samples, strict=True)
        ]
        start = np.append(0, np.cumsum([len(part) for part in parts]))
        x = np.concatenate(parts)
        if weights is not None:
            if len(weights) != len(parts):
                raise DataError(f"{source}: {len(parts)} objects, but weights of {len(weights)}")
            given = [
                _numbers(one, f"{source}: weights of object '{name}'", 1)[:, 0]
                for name, one in zip(labels, weights, strict=True)
            ]
            for name, part, w in zip(labels, parts, given, strict=True):
                if len(part) != len(w):
                    raise DataError(
                        f"{source}: object '{name}' has {len(part)} samples, but {len(w)} weights"
                    )
            weight = np.concatenate(given)
        else:
            weight = np.ones(len(x))
        return cls._made(
            labels, names, x, start, weight, prior, covariates, selection, source, notes
        )

    @classmethod
    def _made(
        cls,
        objects: tuple[str, ...],
        parameters: tuple[str, ...],
        x: Floats,
        start: NDArray[np.intp],
        weights: Floats,
        prior: Priors,
        covariates: Any,
        selection: Any,
        source: str,
        notes: tuple[str, ...],
    ) -> PosteriorSamples:
        """Weigh the samples by one over their prior, and look up what is known of the objects."""
        from pyxstan.stacking.readers import read_covariates, read_selection

        found = cls(objects, parameters, x, start, weights, source=source, notes=notes)
        inverse = inverse_prior(prior, found)
        weight = weights * inverse
        totals = np.add.reduceat(weight, start[:-1])
        if not (totals > 0).all():
            name = objects[int(np.argmin(totals))]
            raise DataError(f"{source}: all weights of object '{name}' are zero")
        chosen = None if selection is None else read_selection(selection, parameters)
        if chosen is not None and chosen.exact:
            low, high = chosen.x.min(), chosen.x.max()
            seen = np.logical_or.reduceat(((x >= low) & (x <= high)).all(axis=1), start[:-1])
            if not seen.all():
                raise DataError(
                    f"{source}: object '{objects[int(np.argmin(seen))]}' has no sample where the "
                    f"selection detects anything, {low:.6g} to {high:.6g}"
                )
        return replace(
            found,
            weights=weight / np.repeat(totals, found.sizes),
            covariates={} if covariates is None else read_covariates(covariates, objects),
            selection=chosen,
        )

    @classmethod
    def from_text(
        cls,
        path: str | Path,
        *,
        parameters: str | Sequence[str] = "x",
        objects: Sequence[str] | None = None,
        prior: Priors = "uniform",
        covariates: Any = None,
        selection: Any = None,
    ) -> PosteriorSamples:
        """Samples of one parameter from a text file, one object a row.

        That is PosteriorStacker's format: numbers separated by blanks (or commas); rows may differ
        in length. What follows a ``#`` is left out.

        Parameters
        ----------
        path
            The file.
        parameters
            Name of the parameter.
        objects
            Names of the objects; default: 1, 2, 3 ...
        prior, covariates, selection
            See `PosteriorSamples`.
        """
        from pyxstan.stacking.readers import read_text

        x, start = read_text(path)
        names = (parameters,) if isinstance(parameters, str) else tuple(map(str, parameters))
        if len(names) != 1:
            raise DataError(
                f"{path}: text with an object a row holds one parameter, not {len(names)} "
                f"({', '.join(names)})"
            )
        labels = tuple(map(str, objects if objects is not None else range(1, len(start))))
        if len(labels) != len(start) - 1:
            raise DataError(f"{path}: {len(start) - 1} objects, but {len(labels)} names")
        return cls._made(labels, names, x[:, None], start, np.ones(len(x)), prior, covariates,
                         selection, str(path), ())  # fmt: skip

    @classmethod
    def from_runs(
        cls,
        runs: str | Path | Sequence[str | Path],
        parameters: str | Sequence[str],
        **known: Any,
    ) -> PosteriorSamples:
        """Samples from runs of UltraNest or BXA.

        Parameters
        ----------
        runs
            A folder of runs, or a list of runs: folders with ``chains/equal_weighted_post.txt`` or
            ``chains/weighted_post.txt`` (the first is taken where both are there).
        parameters
            Names of the columns, as in ``log(nH)``.
        **known
            ``prior``, ``covariates``, ``selection``: see `PosteriorSamples`.
        """
        from pyxstan.stacking.readers import read_runs

        return cls.from_arrays(**read_runs(runs, parameters), **known)

    @classmethod
    def from_netcdf(
        cls,
        files: str | Path | Sequence[str | Path],
        parameters: str | Sequence[str],
        **known: Any,
    ) -> PosteriorSamples:
        """Samples from netCDF files of ArviZ, those of pyxstan too: one object a file.

        Parameters
        ----------
        files
            The files, or a folder of ``*.nc``; an object is named after its file.
        parameters
            Variables of the posterior; one with dims is named with its coordinates, as in
            ``B[chandra]``.
        **known
            ``prior``, ``covariates``, ``selection``: see `PosteriorSamples`.
        """
        from pyxstan.stacking.readers import read_netcdf

        return cls.from_arrays(**read_netcdf(files, parameters), **known)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame | str | Path, parameters: str | Sequence[str], **known: Any
    ) -> PosteriorSamples:
        """Samples from a table with a column ``object`` and one a parameter, one row a sample.

        Parameters
        ----------
        frame
            A DataFrame, or a CSV, ECSV or FITS file. A column ``weight`` weighs the samples.
        parameters
            Names of the columns.
        **known
            ``prior``, ``covariates``, ``selection``: see `PosteriorSamples`.
        """
        from pyxstan.stacking.readers import read_frame

        return cls.from_arrays(**read_frame(frame, parameters), **known)


def as_posterior_samples(data: Any) -> PosteriorSamples:
    """What `fit` was given: `PosteriorSamples`, or a dict of the arguments of `from_arrays`."""
    if isinstance(data, PosteriorSamples):
        return data
    if isinstance(data, Mapping):
        if "samples" not in data:
            raise DataError("posterior samples: no 'samples' in the dict")
        try:
            return PosteriorSamples.from_arrays(**data)
        except TypeError as error:
            raise DataError(f"posterior samples: {error}") from None
    if isinstance(data, np.ndarray | list | tuple):
        return PosteriorSamples.from_arrays(data)
    raise DataError(
        f"posterior samples: expected PosteriorSamples, a dict or arrays, got {type(data).__name__}"
    )


def _numbers(given: ArrayLike, where: str, columns: int) -> Floats:
    """An array of shape (samples, columns)."""
    try:
        found = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{where}: not an array of numbers") from None
    if found.ndim == 1 and columns == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[1] != columns:
        raise DataError(
            f"{where}: an array of shape {found.shape}, expected (samples"
            + (f", {columns})" if columns > 1 else ")")
        )
    return found
