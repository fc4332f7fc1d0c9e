"""The register's entries of the stacking models of one parameter."""

from pyxstan.registry import Model, Option, Parameter, PriorSlot

_REAL = ("uniform", "normal")
_POSITIVE = ("uniform", "half_normal", "lognormal", "gamma", "inv_gamma")
#: That of the samples, which the user knows.
_UNIT = ""

_RANGE = (
    Option("low", "low end of the range; default: of all samples", kind=float),
    Option("high", "high end of the range; default: of all samples", kind=float),
    Option("drop_empty", "leave out objects without a sample in the range", False, bool),
)
_LIKELIHOOD = Option(
    "likelihood", "samples distributed over nodes, checked, or every sample", "nodes",
    choices=("nodes", "samples"),
)  # fmt: skip
_EXACT = Option("exact", "draw by quadrature over both parameters, not by NUTS", True, bool)
_OF_TWO = (*_RANGE, _LIKELIHOOD, _EXACT)
_READING = (
    Option("name", "the parameter: a column, or what to call the numbers of a text file"),
    Option("prior", "of the fits: uniform, loguniform, normal(mean, sd) or another family; "
           "default: as the fits record it, else flat"),
    Option("covariates", "table of the objects' known properties"),
    Option("selection", "table of detection probabilities, or of detected injections"),
)  # fmt: skip
_SIMULATION = (
    Option("objects", "how many", 30, int),
    Option("samples", "of each object", 1000, int),
    Option("smallest_error", "of an object's measurement", 0.1, float),
    Option("largest_error", "of an object's measurement", 0.6, float),
)
_REFERENCE = "Baronchelli, Nandra & Buchner 2020, MNRAS 498, 5284, appendix A"
_MEAN = Parameter("mean", "mean of the population", _UNIT)
_SD = Parameter("sd", "standard deviation of the population", _UNIT)


def _entry(
    name: str,
    purpose: str,
    parameters: tuple[Parameter, ...],
    priors: tuple[PriorSlot, ...] = (),
    options: tuple[Option, ...] = (*_RANGE, _LIKELIHOOD),
    adapt_delta: float = 0.9,
    stan_file: str = "stack",
) -> Model:
    return Model(
        name=name,
        purpose=purpose,
        inputs="SAMPLES (text, one object a row; table; netCDF files) or RUN folders",
        data_class="pyxstan.stacking.PosteriorSamples",
        workflow="pyxstan.stacking.workflow",
        reference=_REFERENCE,
        parameters=parameters,
        headline=tuple(p.name for p in parameters),
        priors=priors,
        options=options,
        reading=_READING,
        simulation=_SIMULATION,
        adapt_delta=adapt_delta,
        stan_file=stan_file,
    )


_ON_RANGE = "uniform(low, high)"
_WITHIN_RANGE = "uniform(0, high - low)"
_AROUND_TWO = "lognormal(ln 2, 1)"
_GAUSSIAN_PRIORS = (
    PriorSlot("mean", _MEAN.description, _ON_RANGE, _REAL),
    PriorSlot("sd", _SD.description, _WITHIN_RANGE, _POSITIVE),
)
_LOCATION = Parameter("location", "where the distribution is", _UNIT)
_SCALE = Parameter("scale", "how wide it is", _UNIT)
_DERIVED = (
    Parameter("mean", _MEAN.description, _UNIT, sampled=False),
    Parameter("sd", _SD.description, _UNIT, sampled=False),
)
_LOCATION_PRIORS = (
    PriorSlot("location", _LOCATION.description, _ON_RANGE, _REAL),
    PriorSlot("scale", _SCALE.description, _WITHIN_RANGE, _POSITIVE),
)
_NU = Parameter("nu", "degrees of freedom")
_SKEW = Parameter("shape", "0: none; the larger, the longer the tail to that side")
_ALPHA = Parameter("alpha", "of the beta distribution: how steep at the low end")
_BETA = Parameter("beta", "of the beta distribution: how steep at the high end")
_SHAPE = Parameter("shape", "of the gamma distribution: (mean - low)^2 / sd^2")

_RANGES = (
    Option("low", "low ends of the ranges, separated by commas; default: of all samples",
           kind=object),
    Option("high", "high ends of the ranges, separated by commas; default: of all samples",
           kind=object),
)  # fmt: skip
_PIVOT = Option(
    "pivot", "value of each covariate at which mean is; default: their means", kind=object
)
_ETA = Option("eta", "of the LKJ prior of the correlations; 1: flat, larger: weaker", 1.0, float)
_SLOPE = Parameter(
    "slope", "change of the mean with a covariate", _UNIT, dims=("parameter", "covariate")
)
_MEANS = (
    Parameter("mean", "mean of the population, at the covariates' pivot", _UNIT, ("parameter",)),
    Parameter("sd", "standard deviation of the population", _UNIT, ("parameter",)),
)
_CORRELATION = Parameter("correlation", "of two parameters in the population", dims=("pair",))
_LINEAR_PRIORS = (
    PriorSlot("mean", "mean of each parameter", _ON_RANGE, _REAL),
    PriorSlot("sd", "standard deviation of each parameter", _WITHIN_RANGE, _POSITIVE),
    PriorSlot("slope", "of each parameter with each covariate",
              "normal(0, (high - low) / sd of the covariate)", ("normal",)),
)  # fmt: skip

MODELS = (
    _entry(
        "stack_histogram",
        "population behind many posteriors: a histogram",
        (Parameter("fraction", "part of the population in the bin", dims=("bin",)),),
        options=(
            *_RANGE,
            Option("bins", "how many, of equal width", 10, int),
            Option("edges", "of the bins, separated by commas, instead", kind=object),
            Option("concentration", "of the Dirichlet prior of the fractions", 1.0, float),
            Option("smoothness", "sd of ln density from bin to bin; default: any", kind=float),
            _LIKELIHOOD,
        ),
    ),
    _entry(
        "stack_gaussian",
        "population behind many posteriors: a Gaussian",
        (_MEAN, _SD),
        _GAUSSIAN_PRIORS,
        _OF_TWO,
    ),
    _entry(
        "stack_truncated_gaussian",
        "population behind many posteriors: a Gaussian cut off at the ends of a range",
        (
            Parameter("mean", "of the Gaussian before it is cut off", _UNIT),
            Parameter("sd", "of the Gaussian before it is cut off", _UNIT),
        ),
        _GAUSSIAN_PRIORS,
        _OF_TWO,
    ),
    _entry(
        "stack_student_t",
        "population behind many posteriors: a Student t, with outliers",
        (_LOCATION, _SCALE, _NU),
        (*_LOCATION_PRIORS, PriorSlot("nu", _NU.description, "gamma(2, 0.1)", _POSITIVE)),
    ),
    _entry(
        "stack_skew_normal",
        "population behind many posteriors: a skew normal",
        (
            _MEAN, _SD, _SKEW,
            Parameter("location", "of the normal before it is skewed", _UNIT, sampled=False),
            Parameter("scale", "of the normal before it is skewed", _UNIT, sampled=False),
        ),
        (*_GAUSSIAN_PRIORS, PriorSlot("shape", _SKEW.description, "normal(0, 3)", _REAL)),
    ),
    _entry(
        "stack_beta",
        "population behind many posteriors: a beta distribution on a range",
        (_ALPHA, _BETA, *_DERIVED),
        tuple(PriorSlot(p.name, p.description, _AROUND_TWO, _POSITIVE) for p in (_ALPHA, _BETA)),
        _OF_TWO,
    ),
    _entry(
        "stack_gamma",
        "population behind many posteriors: a gamma distribution from the low end of a range on",
        (_SHAPE, Parameter("scale", "sd^2 / (mean - low)", _UNIT), *_DERIVED),
        (
            PriorSlot("shape", _SHAPE.description, _AROUND_TWO, _POSITIVE),
            PriorSlot("scale", "sd^2 / (mean - low)", _WITHIN_RANGE, _POSITIVE),
        ),
        _OF_TWO,
    ),
    _entry(
        "stack_mixture",
        "population behind many posteriors: a mixture of Gaussians",
        (
            Parameter("mean", "of each Gaussian, in order", _UNIT, dims=("component",)),
            Parameter("sd", "of each Gaussian", _UNIT, dims=("component",)),
            Parameter("fraction", "part of the population in each", dims=("component",)),
        ),
        (
            PriorSlot("mean", "of each Gaussian", "normal(middle of the range, half its width)",
                  ("normal",)),
            PriorSlot("sd", "of each Gaussian", "lognormal(ln((high - low) / 10), 0.7)", _POSITIVE),
        ),
        options=(
            *_RANGE,
            Option("components", "how many Gaussians", 2, int),
            Option("concentration", "of the Dirichlet prior of the fractions", 1.0, float),
            _LIKELIHOOD,
        ),
        adapt_delta=0.97,  # where components come close to each other
    ),
    _entry(
        "stack_multivariate",
        "population behind many posteriors: a Gaussian in several parameters",
        (*_MEANS, _CORRELATION, _SLOPE),
        _LINEAR_PRIORS,
        options=(*_RANGES, _ETA, _PIVOT),
        stan_file="stack_linear",
    ),
    _entry(
        "stack_regression",
        "population behind many posteriors: a Gaussian whose mean follows covariates",
        (*_MEANS, _CORRELATION, _SLOPE),
        _LINEAR_PRIORS,
        options=(*_RANGES, _ETA, _PIVOT, _LIKELIHOOD),
        stan_file="stack_linear",
    ),
)  # fmt: skip
