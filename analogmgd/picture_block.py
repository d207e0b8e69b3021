"""Blocks of lanes whose chips run layer by layer: networks of pictures, or nodes that are perturbed."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .block import EVALUATE_WORK, Block, aligned
from .kernels import column_evaluate, image_back, picture_evaluate
from .kernels.hardware import Pictures
from .kernels.simd import WIDTH
from .plan_tables import ACTIVATIONS, Samples
from .stages import Stages, stages_of

SAMPLES_WORK = 200_000_000  # multiply-adds in one call of an evaluation with samples in the lanes


class NodeBlock(Block):
    """As `Block`, with what every layer reads kept, as those of pictures have it."""

    @cached_property
    def _stages(self) -> Stages:
        return stages_of(self.plan.chip.network, tuple(ACTIVATIONS.items()), False)

    @cached_property
    def _pictures(self) -> Pictures:  # type: ignore[override]
        net, s = self.plan.chip.network, self._stages
        most = max(layer.rows for layer in net.arrays)
        rows = np.cumsum([net.n_in, s.rows, s.rows, 2 * most])
        return Pictures(s.stages, s.places, s.targets, s.input_rows, rows.astype(np.int64))

    @cached_property
    def _work_rows(self) -> int:  # type: ignore[override]
        return int(self._pictures.rows[-1]) + 2 * max(layer.columns for layer in self.plan.chip.network.arrays)


class PictureBlock(NodeBlock):
    """As `Block`, a chip a lane and all its devices its own."""

    def evaluate(self, samples: Samples, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean cost and accuracy over the first samples, float64[count] each; noise off."""
        converters = self.plan.chip.converters
        if converters.dac_bits is None and converters.adc_bits is None:
            return self._evaluate_each(samples, n_samples)
        plan, lanes = self.plan, self.ids.shape[1]
        y, work = (aligned((n, lanes), plan.dtype) for n in (plan.chip.network.n_out, self._work_rows))
        total, correct = np.zeros((1, lanes)), np.zeros((1, lanes), np.uint32)
        readout = self.devices.readout.silent() if self.devices else ()
        chunk = max(1, EVALUATE_WORK // (plan.chip.network.products * WIDTH))
        for s0 in range(0, n_samples, chunk):
            picture_evaluate.evaluate_pictures(
                s0, min(s0 + chunk, n_samples), plan.cost, plan.layers, self.neuron, self.quiet, samples.x,
                samples.targets, samples.smoothed, y, work, total, correct, self._pictures, readout,
            )  # fmt: skip
        return total[0, : self.count] / n_samples, correct[0, : self.count] / n_samples

    def _evaluate_each(self, samples: Samples, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """The same of one chip after another, with samples in the lanes: of few chips, most lanes would be idle."""
        plan, s, real, n_out = self.plan, self._fused, self.plan.dtype, self.plan.chip.network.n_out
        tables, chosen = (s.stages, s.places, s.targets, s.input_rows), np.arange(n_samples)
        own = tuple(aligned((n, WIDTH), real) for n in (s.rows, WIDTH, n_out, n_out))
        total, correct = np.zeros((1, self.count)), np.zeros((1, self.count), np.uint32)
        chunk = max(1, SAMPLES_WORK // (plan.chip.network.products * WIDTH)) * WIDTH
        for lane in range(self.count):
            theta, spread = self._chip(lane, self.neuron)
            for s0 in range(0, n_samples, chunk):
                column_evaluate.evaluate_columns(
                    s0, min(s0 + chunk, n_samples), plan.cost, real.type(1), tables, spread, theta, samples.x,
                    samples.targets, samples.smoothed, chosen, own, total[:, lane:], correct[:, lane:],
                )  # fmt: skip
        return total[0] / n_samples, correct[0] / n_samples

    def _chip(self, lane: int, neuron: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(theta real[1, P + 16], neuron real[4, neurons + 16 or 0]) of a chip, for samples in the lanes."""
        theta = np.zeros((1, self.plan.n_params + WIDTH), self.plan.dtype)
        theta[0, : self.plan.n_params] = self.quiet[:, lane]
        spread = np.zeros((4, self.plan.n_neurons + WIDTH if len(neuron) else 0), self.plan.dtype)
        if len(neuron):
            spread[:, : self.plan.n_neurons] = neuron[:, lane].reshape(-1, 4).T
        return theta, spread

    @cached_property
    def _fused(self) -> Stages:
        return stages_of(self.plan.chip.network, tuple(ACTIVATIONS.items()))

    def true_gradient(self, samples: Samples, ideal: bool) -> np.ndarray:
        """real[count, P]: mean gradient of the cost over all samples, of this chip or of the ideal network."""
        shown = [np.arange(len(samples.x))] * self.count
        grad = self._gradients(samples, shown, self.no_spread if ideal else self._read_neuron)
        return grad if ideal else self._reached(grad)

    def sample_gradient(self, samples: Samples) -> np.ndarray:
        """real[count, P]: gradient of this chip's cost of the samples it was last shown."""
        shown = [self.index[:, lane].astype(np.int64) for lane in range(self.count)]
        return self._reached(self._gradients(samples, shown, self._read_neuron))

    def _reached(self, grad: np.ndarray) -> np.ndarray:
        lanes = np.zeros_like(self.theta)
        lanes[:, : self.count] = grad.T
        return np.ascontiguousarray(self._as_reached(lanes)[:, : self.count].T)

    def _gradients(self, samples: Samples, shown: list[np.ndarray], neuron: np.ndarray) -> np.ndarray:
        """[count, P]: mean gradient of each chip's cost of its samples, which are in the lanes."""
        plan, s, real = self.plan, self._stages, self.plan.dtype
        tables = (s.stages, s.places, s.targets, s.input_rows)
        own = tuple(aligned((n, WIDTH), real) for n in (s.rows, s.rows, WIDTH, plan.chip.network.n_out))
        total = np.zeros((1, 1), real)
        out = np.zeros((self.count, plan.n_params + WIDTH), real)
        for lane, chosen in enumerate(shown):
            theta, spread = self._chip(lane, neuron)
            image_back.gradient_columns(
                0, len(chosen), plan.cost, real.type(1), tables, spread, theta, samples.x, samples.smoothed, chosen,
                own, out[lane : lane + 1], total,
            )  # fmt: skip
            out[lane] /= real.type(len(chosen))
        return out[:, : plan.n_params]


def lane_block(plan: object) -> type[Block]:
    """The kind of block of the chips of a plan that have a lane each."""
    if plan.chip.network.pictures:  # type: ignore[attr-defined]
        return PictureBlock
    return NodeBlock if plan.nodes else Block  # type: ignore[attr-defined]
