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
from pyxstan.stacking.arrays import numbers, read_arrays, wrapped
from pyxstan.stacking.sample_priors import Priors, Recorded, log_weights

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
        relative = self.weights / self.weights.max()
        return np.asarray(relative / relative.sum())

    @property
    def log_total(self) -> float:
        """Log of that sum."""
        largest = self.weights.max()
        return float(np.log(largest) + np.log((self.weights / largest).sum()))

    def detected(self, p: Floats) -> Floats:
        """The detected fraction of populations, for their densities at x, shape (..., detected)."""
        return np.asarray(p @ self.weights)


@dataclass(frozen=True)
class PosteriorSamples:
    """Posterior samples of the parameters of many objects, each fitted on its own.

    Make one with `from_arrays`, `from_text`, `from_runs`, `from_netcdf`, `from_frame` or
    `from_files`. They all take

    prior
        The prior under which the objects were fitted: ``"uniform"``, ``"loguniform"``,
        ``"normal(mean, sd)"`` or another of `pyxstan.priors.FAMILIES`, or by parameter a dict of
        those. The samples are weighted by one over it, so that the population's distribution takes
        its place. Default: the prior that the fits record, as pyxstan's own results do; a flat one
        where they don't, which a note says.
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
    #: What speaks against the objects' own fits, for the verdict of a stack.
    complaints: tuple[str, ...] = ()

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

    def ordered(self, objects: NDArray[np.intp]) -> PosteriorSamples:
        """The objects at these positions, in this order."""
        rows = np.concatenate([np.arange(self.start[i], self.start[i + 1]) for i in objects])
        return replace(
            self,
            objects=tuple(self.objects[i] for i in objects),
            x=self.x[rows],
            weights=self.weights[rows],
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
        prior: Priors = None,
        covariates: Any = None,
        selection: Any = None,
        source: str = "samples",
        notes: tuple[str, ...] = (),
        complaints: tuple[str, ...] = (),
        recorded: Sequence[Recorded] | None = None,
        units: Sequence[Mapping[str, str]] | None = None,
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
        recorded
            Priors that the fits themselves state, by parameter, one mapping an object: in force
            where `prior` says nothing.
        units
            Of the samples, by parameter, one mapping an object; default: what the arrays state
            themselves (Quantities, or ``attrs["units"]``). All are put into those of the first
            object. Samples that are masked are left out.

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
        arrays = read_arrays(samples, labels, names, source, units)
        parts = arrays.samples
        start = np.append(0, np.cumsum([len(part) for part in parts]))
        x = np.concatenate(parts)
        if weights is not None:
            if len(weights) != len(parts):
                raise DataError(f"{source}: {len(parts)} objects, but weights of {len(weights)}")
            given = [
                _weights(one, f"{source}: weights of object '{name}'")
                for name, one in zip(labels, weights, strict=True)
            ]
            for name, kept, w in zip(labels, arrays.kept, given, strict=True):
                if len(kept) != len(w):
                    raise DataError(
                        f"{source}: object '{name}' has {len(kept)} samples, but {len(w)} weights"
                    )
            weight = np.concatenate([w[k] for w, k in zip(given, arrays.kept, strict=True)])
        else:
            weight = np.ones(len(x))
        notes = (*notes, *arrays.notes)
        found = cls(
            labels, names, x, start, weight, source=source, notes=notes, complaints=complaints
        )
        if recorded is not None:
            recorded = [arrays.in_their_units(i, one) for i, one in enumerate(recorded)]
        return found._known(prior, recorded, covariates, selection)

    def _known(
        self,
        prior: Priors,
        recorded: Sequence[Recorded] | None,
        covariates: Any,
        selection: Any,
    ) -> PosteriorSamples:
        """Weigh the samples by one over their prior, and look up what is known of the objects."""
        from pyxstan.stacking.readers import read_covariates, read_selection

        x, start, objects = self.x, self.start, self.objects
        inverse, notes = log_weights(prior, self, recorded)
        if inverse.any() or (self.weights != 1).any():
            with np.errstate(divide="ignore"):
                log_weight = np.log(self.weights) + inverse
            largest = np.maximum.reduceat(log_weight, start[:-1])
            if not np.isfinite(largest).all():
                name = objects[int(np.argmin(np.isfinite(largest)))]
                raise DataError(f"{self.source}: all weights of object '{name}' are zero")
            weight = np.exp(log_weight - np.repeat(largest, self.sizes))
            weight /= np.repeat(np.add.reduceat(weight, start[:-1]), self.sizes)
        else:
            weight = np.repeat(1 / self.sizes, self.sizes)
        chosen = None if selection is None else read_selection(selection, self.parameters)
        if chosen is not None and chosen.exact:
            low, high = chosen.x.min(), chosen.x.max()
            seen = np.logical_or.reduceat(((x >= low) & (x <= high)).all(axis=1), start[:-1])
            if not seen.all():
                raise DataError(
                    f"{self.source}: object '{objects[int(np.argmin(seen))]}' has no sample where "
                    f"the selection detects anything, {low:.6g} to {high:.6g}"
                )
        return replace(
            self,
            weights=weight,
            covariates={} if covariates is None else read_covariates(covariates, objects),
            selection=chosen,
            notes=(*self.notes, *notes),
            complaints=(*self.complaints, *wrapped(self)),
        )

    @classmethod
    def from_text(
        cls,
        path: str | Path,
        *,
        parameters: str | Sequence[str] = "x",
        objects: Sequence[str] | None = None,
        prior: Priors = None,
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
        found = cls(labels, names, x[:, None], start, np.ones(len(x)), source=str(path))
        return found._known(prior, [{}] * len(labels), covariates, selection)

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
    def from_files(
        cls, files: Sequence[str | Path], parameters: str | Sequence[str], **known: Any
    ) -> PosteriorSamples:
        """Samples from files that hold one object each.

        Parameters
        ----------
        files
            Tables with a column a parameter, or a column of numbers alone; samples of MultiNest
            (``post_equal_weights.dat``), GetDist, bilby (JSON), XSPEC or BXA (``chain.fits``). An
            object is named after its file.
        parameters
            Names of the columns.
        **known
            ``prior``, ``covariates``, ``selection``: see `PosteriorSamples`.
        """
        from pyxstan.stacking.readers import read_chains

        return cls.from_arrays(**read_chains(files, parameters), **known)

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


def _weights(given: ArrayLike, where: str) -> Floats:
    """Weights of an object's samples; one that is masked has none."""
    if np.ma.isMaskedArray(given):
        given = np.ma.filled(given, 0.0)
    return numbers(given, where, 1)[:, 0]
