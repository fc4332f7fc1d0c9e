"""The entry of `point_source` in the zoo's register."""

from pyxstan.registry import Model, Option, Parameter, PriorSlot

MODELS = (
    Model(
        name="point_source",
        purpose="a point source under a spatial prior: where, how strong, which spectrum",
        inputs="EVENTS... (with --set effective_area=FILE), or SAMPLES.yaml: directions, angular "
        "errors and energies of events",
        data_class="pyxstan.point_source.PointSourceData",
        workflow="pyxstan.point_source.workflow",
        reference="Braun et al. 2008, Astropart. Phys. 29, 299 (arXiv:0801.1604)",
        parameters=(
            Parameter("ns", "events of the source"),
            Parameter("gamma", "spectral index, dN/dE ~ E^-gamma"),
            Parameter(
                "flux", "E^2 dN/dE of the source at the pivot energy", "option unit", sampled=False
            ),
            Parameter("ra", "right ascension of the source (ICRS)", "deg", sampled=False),
            Parameter("dec", "declination of the source (ICRS)", "deg", sampled=False),
        ),
        headline=("ns", "gamma", "flux", "ra", "dec"),
        priors=(
            PriorSlot(
                "ns",
                "events of the source",
                "uniform(0, a hundredth of all events, or 100)",
                ("uniform", "half_normal", "gamma", "lognormal"),
            ),
            PriorSlot(
                "gamma",
                "spectral index, between 1 and 4 or the ends of a uniform prior",
                "uniform(1, 4)",
                ("uniform", "normal"),
            ),
        ),
        options=(
            Option(
                "nside", "HEALPix resolution of the first scan; finer where the source is", 64, int
            ),
            Option("max_dec", "declination up to which is looked, either way (deg)", 85.0, float),
            Option("exact", "draw directly, not by NUTS", True, bool),
            Option("pivot", "energy of the flux (GeV)", 1e5, float),
            Option("unit", "unit of the flux, E^2 dN/dE or dN/dE", "TeV / (cm2 s)"),
            Option(
                "trials",
                "skies without a source that the p-value comes from; auto: 20 to 200 "
                "by their cost; 0: no p-value",
                "auto",
                int,
                choices=("auto",),
            ),
            Option(
                "smoothing_declination", "of the background's density, in sin(dec)", 0.02, float
            ),
            Option(
                "smoothing_energy_declination",
                "of the background's energies, in sin(dec)",
                0.03,
                float,
            ),
            Option("smoothing_energy", "of the background's energies, in log10", 0.05, float),
            Option(
                "floor", "events that the background's energies are raised by, all over", 1.0, float
            ),
        ),
        reading=(
            Option("effective_area", "table of effective areas, by energy and declination"),
            Option("livetime", "in seconds, or as '333 d'"),
            Option("angular_resolution", "table of median angular errors, for events without"),
            Option("smearing", "table of reconstructed energies by true ones"),
            Option("uptime", "table of the detector's uptimes (MJD)"),
            Option(
                "angle_unit",
                "of angles whose column states none; default deg",
                choices=("deg", "rad"),
            ),
            Option(
                "least_sigma",
                "smaller angular errors are raised to it (deg); default 0.2",
                kind=float,
            ),
            Option("columns", "which column is which, as in ra:RAJ2000,sigma:err", kind=object),
            Option("prior_map", "HEALPix map of where the source may be"),
            Option("catalogue", "table of sources (ra, dec, weight, name) that are taken for one"),
            Option(
                "window",
                "when it may have shone (MJD), as 55700,55800 or gaussian(55700, 5)",
                kind=object,
            ),
        ),
        adapt_delta=0.9,
        simulation=(
            Option("events", "events in all", 20_000, int),
            Option("prior_radius", "standard deviation of the prior map (deg)", 10.0, float),
        ),
    ),
)
