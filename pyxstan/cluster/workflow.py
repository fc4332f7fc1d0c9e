"""The workflow of the cluster models: what `pyxstan.registry.Family` asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.data import as_cluster_image as as_data
from pyxstan.cluster.figures import figures
from pyxstan.cluster.problem import prepare
from pyxstan.cluster.simulation import simulate, write
from pyxstan.errors import DataError

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]


def read(inputs: Sequence[Path], options: Mapping[str, Any]) -> ClusterImage:
    """Read COUNTS.fits EXPOSURE.fits."""
    if len(inputs) != 2:
        raise DataError(f"expected COUNTS.fits EXPOSURE.fits, got {len(inputs)} file(s)")
    return ClusterImage.from_fits(*inputs, **options)
