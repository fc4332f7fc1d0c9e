"""The register's entry of the spectra."""

from pyxstan.registry import Model, Option, Parameter

MODELS = (
    Model(
        name="linked_spectra",
        purpose="folded X-ray and gamma-ray spectra of several sources, with linked parameters",
        inputs="OGIP spectra with responses, and a model in Python or YAML",
        data_class="pyxstan.spectra.LinkedSpectra",
        workflow="pyxstan.spectra.workflow",
        reference="Arnaud, Smith & Siemiginowska 2011 (Handbook of X-ray Astronomy), chapter 7; "
        "Vianello et al. 2015 (arXiv:1507.08343) for links between sources",
        parameters=(
            Parameter(
                "value", "every parameter that isn't held", "of each: see `unit`", ("parameter",)
            ),
        ),
        headline=("value",),
        simulation=(
            Option(
                "case", "an absorbed power law, or two sources with one temperature", "absorbed",
                choices=("absorbed", "linked"),
            ),
            Option("exposure", "of each spectrum, s; default: that of the case", kind=float),
        ),
        adapt_delta=0.95,
        open_priors=True,
    ),
)  # fmt: skip
