"""The true gradient of the mean cost, by backpropagation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .block import Block
from .chip import Chip
from .column_block import ColumnBlock
from .config import Config, Run
from .data import Dataset, load_dataset
from .engine import thread_count
from .errors import ConfigError
from .network import Network
from .plan import ROWS_FROM, Plan
from .row_block import RowBlock
from .rule import Backprop


def gradient(chip: Chip | Network, data: Dataset | str, theta: Any) -> np.ndarray:
    """Gradient of the mean cost over the training set, through the ideal forward model (no spread, no noise).

    chip : Chip or Network; data : Dataset or a name
    theta : (P,) or (chips, P), dimensionless; computed in float64

    Returns float64 of the same shape. Raises ConfigError where theta does not fit or is not finite.

    >>> import numpy as np
    >>> gradient(Network.mlp([2, 2, 1]), "parity", np.zeros(9)).shape
    (9,)
    """
    from .train import check_theta0

    if isinstance(data, str):
        data = load_dataset(data)
    if isinstance(chip, Network):
        chip = Chip(chip)
    shape = np.shape(theta)
    chips = shape[0] if len(shape) == 2 and shape[0] > 0 else 1
    run = Run(steps=1, chips=chips, precision="double")
    plan = Plan(Config(chip, Backprop(), {"name": data.name}, run), data)
    try:
        start = check_theta0(theta, plan)
    except ConfigError as error:
        raise ConfigError(str(error).replace("theta0", "theta")) from None
    lanes = 64
    blocks: Iterator[Block | RowBlock]
    if plan.kind == "columns":
        blocks = (ColumnBlock(plan, chip, start, thread_count(None)) for chip in range(chips))
    elif plan.n_params >= ROWS_FROM:
        blocks = (RowBlock(plan, chip, start) for chip in range(chips))
    else:
        blocks = (Block(plan, first, min(lanes, chips - first), start) for first in range(0, chips, lanes))
    return np.concatenate([block.true_gradient(plan.train, ideal=True) for block in blocks]).reshape(shape)
