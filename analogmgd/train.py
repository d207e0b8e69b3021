"""Training: the functions a user calls."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from .advice import warnings_for
from .chip import Chip
from .config import Config, Run
from .data import Dataset, load_dataset
from .engine import Engine, thread_count
from .errors import AnalogMGDWarning, ConfigError
from .limits import check_together, memory_of_run
from .merge import RowPlan, Rows
from .network import Network
from .plan import Plan
from .plan_tables import iteration_seconds
from .rule import MGD, Backprop
from .session import carry_out, completed, header_of
from .trace import Trace, TraceHeader, estimate_record_bytes, open_writer

ROWS = 500  # as many rows as a plot can use, where the user does not say
EVALUATION_SHARE = 12  # steps a recorded sample is set against, so that evaluating takes a few per cent


class Progress(Protocol):
    """What watches a run: called in the main thread, several times a second."""

    def start(self, plan: Plan) -> None:
        """The run is about to begin."""

    def tick(self, chip_steps: int, row: Rows) -> None:
        """So many chip-steps are done, those before a stop included; row is the latest recorded one, or empty."""

    def stop(self) -> None:
        """The run has ended, one way or another."""


def watcher(progress: Any) -> Progress | None:
    """What the argument `progress` of `train` and `resume` stands for."""
    if progress is True:
        from .progress import Bar

        return Bar()
    if progress is False or progress is None:
        return None
    if not hasattr(progress, "tick"):
        raise ConfigError(f"progress = {progress!r}: must be True, False or an object with start, tick and stop")
    return progress  # type: ignore[no-any-return]


def settle(config: Config, data: Dataset, rows: int = ROWS) -> Config:
    """Fill in what depends on the whole: record_every, the horizon of the cosine, the slowest part of 1/f noise.

    rows : recorded at most, where the configuration does not say
    """
    run, rule = config.run, config.rule
    if run.record_every is None:
        evaluated = min(run.eval_samples or len(data.x_test), len(data.x_test))
        every = max(-(-run.steps // rows), EVALUATION_SHARE * evaluated)
        least = 20 if run.record else 4  # rows of nothing still show that no chip is finite any more
        run = run.replace(record_every=max(1, min(every if run.record else run.steps, -(-run.steps // least))))
    if rule.schedule == "cosine" and rule.schedule_steps is None:
        dt = rule.dt if isinstance(rule, MGD) else 1.0
        rule = rule.replace(schedule_steps=max(1, round(run.steps * dt)))
    chip = config.chip
    if chip.device.flicker > 0 and chip.device.flicker_slowest is None and isinstance(rule, MGD):
        span = run.steps * iteration_seconds(chip, rule)
        chip = chip.replace(device=chip.device.replace(flicker_slowest=span))
    return replace(config, chip=chip, run=run, rule=rule)


def check_theta0(theta0: Any, plan: Plan) -> np.ndarray:
    """theta0 as real[chips, P]; ConfigError where shape or values do not do."""
    wanted = f"({plan.n_params},) or ({len(plan.ids)}, {plan.n_params})"
    try:
        array = np.asarray(theta0)
        if array.dtype.kind not in "fiub":
            raise TypeError
        with np.errstate(over="ignore"):
            array = array.astype(plan.dtype)
    except (TypeError, ValueError):
        raise ConfigError(f"theta0 is not an array of numbers; expected shape {wanted}") from None
    if array.shape == (plan.n_params,):
        array = np.broadcast_to(array, (len(plan.ids), plan.n_params))
    if array.shape != (len(plan.ids), plan.n_params):
        raise ConfigError(f"theta0 has shape {array.shape}; expected {wanted}")
    if not np.isfinite(array).all():
        chip, p = np.argwhere(~np.isfinite(array))[0]
        raise ConfigError(f"theta0[{chip}, {p}] = {array[chip, p]}: every value must be finite")
    return array


def tell_needs(progress: Progress | None, plan: Plan, header: TraceHeader, in_file: bool) -> None:
    """Let what watches the run know, if it has a method `needs`, how many bytes of memory and of disk it will take."""
    tell = getattr(progress, "needs", None)
    if tell is not None:
        size = sum(estimate_record_bytes(header, in_file).values())
        tell(memory_of_run(plan, size, in_file, header.state_bytes), size if in_file else 0)


def run_config(
    config: Config,
    data: Dataset,
    *,
    theta0: Any = None,
    trace: str | os.PathLike[str] | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    lanes: int | None = None,
) -> Trace:
    """Carry out a whole configuration on a data set; arguments as those of `train`.

    lanes : chips side by side in a block; default what the machine's cache holds. No result depends on it.

    >>> text = "network.sizes = [2, 2, 1]\\ndata.name = 'parity'\\nrun.steps = 200\\nrun.chips = 4"
    >>> config = Config.from_toml(text)
    >>> run_config(config, load_dataset(**config.data)).theta.shape
    (4, 9)
    """
    config = settle(config, data)
    run = config.run
    count = thread_count(threads)
    plan = Plan(config, data)
    start = None if theta0 is None else check_theta0(theta0, plan)
    assert run.record_every is not None
    rows = RowPlan(run.steps, run.record_every)
    header = header_of(plan, data, rows, count)
    from .trace import check_fits

    check_together(plan, check_fits(header, trace), trace is not None)
    layers = len(plan.layers)
    for text in warnings_for(plan.rule, plan.n_perturbed, len(data.x_train), run.order, run.precision, layers):
        warnings.warn(text, AnalogMGDWarning, stacklevel=3)
    engine = Engine(plan, rows, start, count, lanes)
    header = completed(header, engine, start)
    writer = open_writer(trace, header, force)
    tell_needs(progress, plan, header, trace is not None)
    return carry_out(engine, writer, progress)


def train(
    chip: Chip | Network,
    data: Dataset | str,
    rule: MGD | Backprop,
    *,
    steps: int = 100_000,
    chips: int | Sequence[int] = 64,
    seed: int = 0,
    theta0: Any = None,
    order: str = "shuffle",
    precision: str = "single",
    record: Sequence[str] = ("cost", "accuracy"),
    record_every: int | None = None,
    eval_samples: int | None = 1000,
    trace: str | os.PathLike[str] | None = None,
    angle: str = "chip",
    probe_chips: Sequence[int] = (),
    probe_from: int = 0,
    probe_until: int | None = None,
    threads: int | None = None,
    progress: bool | Progress = False,
    force: bool = False,
) -> Trace:
    """Train an ensemble of chips; each learns on its own.

    chip : Chip, or a Network for an ideal one
    data : Dataset, or the name of a built-in one or of a .npz or .h5 file
    rule : MGD or Backprop
    steps, chips, seed, order, precision, record, record_every, eval_samples, angle, probe_chips, probe_from,
        probe_until : see `Run`
    theta0 : float array (P,) or (chips, P): start here; default drawn per chip as the network says
    trace : path of an HDF5 file to write, or None: kept in memory
    threads : default ANALOGMGD_THREADS, else all processors; results do not depend on it
    progress : True for a progress bar on standard error
    force : replace an existing file

    Returns a `Trace`: `run.step` (R,), `run.cost`, `run.accuracy` (R, chips), final parameters `run.theta` (chips, P).
    Raises ConfigError where anything does not fit, before any step; TraceError where the file cannot be written.

    >>> run = train(Network.mlp([2, 2, 1]), "parity", MGD(eta=0.5, amplitude=0.05), steps=2000, chips=8)
    >>> run.theta.shape, run.status
    ((8, 9), 'complete')
    """
    named = None
    if isinstance(data, str | os.PathLike):
        named, data = os.fspath(data), load_dataset(data)
    if not isinstance(data, Dataset):
        raise ConfigError(f"data is a {type(data).__name__}; expected a Dataset or the name of one")
    if isinstance(chip, Network):
        chip = Chip(chip)
    if not isinstance(chip, Chip):
        raise ConfigError(f"chip is a {type(chip).__name__}; expected a Chip or a Network")
    if not isinstance(rule, MGD | Backprop):
        raise ConfigError(f"rule is a {type(rule).__name__}; expected MGD or Backprop")
    if not isinstance(trace, str | os.PathLike | None):
        raise ConfigError(f"trace = {trace!r}: must be the path of a file, or None")
    settings: dict[str, Any] = {
        "steps": steps,
        "chips": chips,
        "seed": seed,
        "order": order,
        "precision": precision,
        "record": record,
        "record_every": record_every,
        "eval_samples": eval_samples,
        "angle": angle,
        "probe_chips": probe_chips,
        "probe_from": probe_from,
        "probe_until": probe_until,
    }
    run = Run(**settings)
    config = Config(chip, rule, {"name": named or data.name, **data.options}, run)
    watch = watcher(progress)
    return run_config(config, data, theta0=theta0, trace=trace, force=force, threads=threads, progress=watch)


__all__ = ["Callable", "Progress", "run_config", "settle", "train"]
