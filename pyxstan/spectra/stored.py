"""A model of spectra as text in the attributes of a fit, from which fluxes and figures are made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pyxstan.errors import DataError
from pyxstan.spectra.absorption import CrossSections
from pyxstan.spectra.model import Absorber, Linked, Source, Used

if TYPE_CHECKING:
    import numpy as np

    from pyxstan.spectra.data import LinkedSpectra


def to_json(data: LinkedSpectra) -> str:
    """The sources, the parameters that are held or linked, and what is in each spectrum."""
    return json.dumps({
        "sources": [
            {
                "name": source.name,
                "redshift": source.redshift,
                "components": {
                    label: {"kind": used.kind, "settings": list(used.settings),
                            "constants": dict(used.constants)}
                    for label, used in source.components.items()
                },
                "absorption": {
                    label: {"redshift": absorber.redshift, "table": _as_columns(absorber.table)}
                    for label, absorber in source.absorption.items()
                },
            }
            for source in data.sources
        ],
        "held": data.collected.held,
        "linked": [p.name for p in data.collected.all if isinstance(p.setting, Linked)],
        "spectra": {one.name: one.sources for one in data.observations},
    })  # fmt: skip


def _as_columns(table: CrossSections | None) -> dict[str, Any] | None:
    """Cross sections by value: the file that they came from may change, or go."""
    if table is None:
        return None
    return {
        "source": table.source,
        "sha256": table.sha256,
        "energy": table.energy.tolist(),
        "cross_section": table.cross_section.tolist(),
    }


def _absorber(what: dict[str, Any]) -> Absorber:
    """The absorber of a fit, whose column density is in the draws."""
    columns = what["table"]
    if columns is None:
        return Absorber(None, what["redshift"])
    if isinstance(columns, str):
        raise DataError(f"a fit that names {columns}, without the cross sections: fit once more")
    table = CrossSections(columns["energy"], columns["cross_section"], columns["source"])
    if table.sha256 != columns["sha256"]:
        raise DataError(f"{table.source}: the fit's cross sections are not those it was made with")
    return Absorber(None, what["redshift"], table)


def from_fit(idata: Any) -> tuple[tuple[Source, ...], dict[str, np.ndarray]]:
    """The sources of a fit, and every parameter by name, shape (chains, draws).

    Raises
    ------
    DataError
        It is no fit of spectra.
    """
    import numpy as np

    from pyxstan.inference_data import attributes, group

    text = attributes(idata).get("spectral_model")
    if text is None:
        raise DataError("expected a fit of linked_spectra")
    tree = json.loads(text)
    sources = tuple(
        Source(
            one["name"],
            {
                label: Used(what["kind"], dict.fromkeys(what["settings"]), what["constants"])
                for label, what in one["components"].items()
            },
            {label: _absorber(what) for label, what in one["absorption"].items()},
            one["redshift"],
        )
        for one in tree["sources"]
    )
    value = group(idata, "posterior")["value"]
    shape = value.shape[:2]
    found = {str(name): value.sel(parameter=name).to_numpy() for name in value["parameter"].values}
    return sources, found | {name: np.full(shape, x) for name, x in tree["held"].items()}
