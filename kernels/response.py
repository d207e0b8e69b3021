"""What a series of pulses does to devices: their response, one pulse at a time."""

from __future__ import annotations

from .jit import entry
from .perturb import normals4
from .philox import PULSE
from .picked import spot
from .pulse import pulse, slopes
from .simd import filled, lanes_of, load, store, where, width_of


@entry
def respond(seed, ids, directions, law, up, down, slope_up, slope_down, high, low, words, xi, out):
    """out[i + 1] <- the state after pulse i, starting from out[0]; out real[n + 1, lanes], a device a lane.

    directions float64[n] > 0: up, 0: no pulse; ids uint64[1, lanes]; law, up .. low as in `hardware.Hardware`;
    scratch: words uint32[4, lanes], xi real[4, lanes]. Normal i of the stream PULSE is that of pulse i.
    """
    for i in range(directions.shape[0]):
        if i & 3 == 0:
            normals4(seed, ids, PULSE, i >> 2, words, xi)
        for v in range(0, lanes_of(out), width_of(out)):
            direction = filled(out.dtype.type(directions[i]), out)
            rising = direction > 0.0
            step, slope = slopes(rising, up, down, slope_up, slope_down, law, up, spot(0, v, out))
            h, top, bottom = load(out, i, v), load(high, 0, v), load(low, 0, v)
            after = pulse(h, load(xi, i & 3, v), rising, step, slope, top, bottom, law, out)
            store(out, i + 1, v, where(direction == 0.0, h, after))
