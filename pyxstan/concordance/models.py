"""The entries of `concordance` and `concordance_t` in the zoo's register."""

from pyxstan.registry import Model, Option, Parameter, PriorSlot

_PARAMETERS = (
    Parameter("B", "log effective area, relative to the nominal b's unit", "", ("instrument",)),
    Parameter("G", "log flux, ln(flux unit of the data)", "", ("source",)),
    Parameter("sigma", "scatter of log measurements (unknown), or added to the given (extra)",
              "", ("instrument",)),
)  # fmt: skip
_DERIVED = (
    Parameter("correction", "effective-area correction 100 (exp(B - b) - 1)", "%",
              ("instrument",), sampled=False),
    Parameter("adjusted_area", "effective area exp(B)", "nominal effective area where b = 0",
              ("instrument",), sampled=False),
    Parameter("concordant_flux", "flux exp(G) on which the instruments agree",
              "flux unit of the data", ("source",), sampled=False),
    Parameter("prior_influence", "weight of the prior in B, the fluxes given (constant_data)",
              "", ("instrument",), sampled=False),
    Parameter("variance_ratio", "posterior variance of B / tau^2 (constant_data): 1 the prior",
              "", ("instrument",), sampled=False),
)  # fmt: skip
_HEADLINE = ("correction", "sigma", "concordant_flux")
_OPTIONS = (
    Option("variances", "sigma_ij given (known), sigma_i fitted (unknown), or scatter fitted on "
           "top of the given or of Poisson's (extra); default known where the data have errors or "
           "are counts, else unknown",
           choices=("known", "unknown", "extra")),
    Option("sigma_groups", "instruments that share one fitted sigma: common (all of them), or "
           "groups as in 'pn, MOS1; HEG, MEG'; default each its own", kind=object),
    Option("exact", "with variances=known, draw the Gaussian posterior directly, not by NUTS "
           "(log-normal only)", True, bool),
    Option("tau", "prior sd of every B, in place of the instruments' own", kind=float),
    Option("band_correlation", "prior correlation of B between the bands of one instrument",
           kind=object),
    Option("pointwise", "log_likelihood and posterior_predictive a measurement: of all draws, "
           "thinned to 2 GB, or left out", "auto", choices=("auto", "all", "none")),
)  # fmt: skip
_PRIORS = (
    PriorSlot("B", "log effective area of every instrument", "normal(b, tau) of the data",
              ("normal",)),
    PriorSlot("sigma2", "variance sigma_i^2", "inv_gamma(0.5, s^2 / 10) for variances=unknown, "
              "s a robust spread of the data (of log-t: as a sigma)",
              ("inv_gamma", "gamma", "lognormal")),
    PriorSlot("sigma", "sigma_i, in place of sigma2", "lognormal(ln s, 1.5) for variances=extra",
              ("half_normal", "gamma", "lognormal", "inv_gamma")),
)  # fmt: skip
_SIMULATION = (
    Option("instruments", "number of instruments", 13, int),
    Option("sources", "number of sources", 40, int),
    Option("bands", "number of energy bands in which every instrument measures", 1, int),
    Option("missing", "fraction of the measurements that are missing", 0.0, float),
    Option("simulated_tau", "sd of the true B", 0.05, float),
    Option("simulated_sigma", "typical true sigma_i", 0.05, float),
)
_READING = (
    Option("columns", "which column is which, as in flux:F_2keV,error:e_F"),
    Option("ignore", "columns to leave aside, with commas between"),
)
_INPUTS = (
    "TABLE [INSTRUMENTS_TABLE]: fluxes, counts or natural logs of fluxes, by instrument and source"
)

MODELS = (
    Model(
        name="concordance",
        purpose="calibration concordance of instruments, log-normal errors",
        inputs=_INPUTS,
        data_class="pyxstan.concordance.ConcordanceData",
        workflow="pyxstan.concordance.workflow",
        reference="Chen et al. 2019, JASA 114, 1018 (arXiv:1711.09429)",
        parameters=_PARAMETERS + _DERIVED,
        headline=_HEADLINE,
        priors=_PRIORS,
        options=_OPTIONS,
        adapt_delta=0.7,
        reading=_READING,
        simulation=_SIMULATION,
    ),
    Model(
        name="concordance_t",
        purpose="calibration concordance of instruments, log-t errors: robust to outliers",
        inputs=_INPUTS,
        data_class="pyxstan.concordance.ConcordanceData",
        workflow="pyxstan.concordance.workflow",
        reference="Chen et al. 2019, JASA 114, 1018 (arXiv:1711.09429), section 3.4",
        parameters=(
            *_PARAMETERS,
            Parameter("nu", "degrees of freedom of the errors, where estimated"),
            *_DERIVED,
            Parameter(
                "outlier_weight",
                "xi/nu of a measurement given the rest: 1 regular, towards 0 an outlier",
                "",
                ("measurement",),
                sampled=False,
            ),
        ),
        headline=("nu", *_HEADLINE),
        priors=(
            *_PRIORS,
            PriorSlot(
                "nu",
                "degrees of freedom, with nu=estimated",
                "gamma(2, 0.1)",
                ("gamma", "lognormal", "inv_gamma"),
            ),
        ),
        options=(
            *_OPTIONS,
            Option("nu", "degrees of freedom", 3.0, float, choices=("estimated",)),
        ),
        adapt_delta=0.85,
        reading=_READING,
        simulation=_SIMULATION,
    ),
)
