"""What `analogmgd devices` says of a device, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .output import columns, pairs

if TYPE_CHECKING:
    from analogmgd.device_figures import Figures
    from analogmgd.devices import Device


@dataclass(frozen=True)
class Named:
    """A device with what it is called and where it is from."""

    name: str
    source: str
    device: Device


def about(named: Named) -> dict[str, Any]:
    """A device for programs."""
    from analogmgd.device_figures import figures

    return {
        "name": named.name,
        "model": named.device.model,
        "source": named.source,
        "figures": asdict(figures(named.device)),
        "settings": named.device.model_dump(),
    }


def cells(device: Device) -> tuple[str, ...]:
    """The figures of a row of the list."""
    from analogmgd.device_figures import figures

    f = figures(device)
    if f.range is None:
        return ("", "", "", "", "unbounded", "", "", "", "")
    return (
        "" if f.steps is None else f"{pulse_text(f.pulses_up)} / {pulse_text(f.pulses_down)}",
        percent(f.asymmetry),
        percent(f.step_noise),
        f"{f.write_noise:.2g}",
        f"{f.range[0]:.3g} .. {f.range[1]:.3g}",
        "" if device.dw_min is None else f"{device.dw_min:.3g}",
        "" if f.granularity is None else f"{f.granularity:.3g}",
        "" if f.steps is None else whole(f.steps),
        "" if f.steps is None else symmetry_text(f, "all", "none"),
    )


def whole(value: float) -> str:
    """A count, with one digit after the point where it is small."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}".replace(",", " ")


def pulse_text(pulses: int | None) -> str:
    from analogmgd.device_figures import MANY

    return f"{pulses:,}".replace(",", " ") if pulses is not None else f"over {MANY:,}".replace(",", " ")


def symmetry_text(f: Figures, everywhere: str, nowhere: str) -> str:
    if f.symmetry_point is None:
        return everywhere if f.asymmetry == 0 else nowhere
    return f"{f.symmetry_point:.2g}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3g} %"


def text(named: Named) -> str:
    """A device for people: first what it can do, then its settings."""
    from analogmgd.device_meanings import MEANINGS, told_settings
    from analogmgd.device_toml import literal

    settings = told_settings(named.device)
    title = f"{named.name}: {named.source}"
    if settings:
        head = ("setting", "value", "unit", "meaning")
        rows = [(key, literal(value), *MEANINGS.get(key, ("", ""))) for key, value in settings.items()]
        table = columns(head, rows)
    else:
        table = "every setting has its default"
    return "\n\n".join(part for part in (f"{title}\n{can_do(named.device)}".rstrip(), table) if part)


def can_do(device: Device) -> str:
    """What a device can do, in lines."""
    from analogmgd.device_figures import figures

    return pairs(derived(device, figures(device)))


def derived(device: Device, f: Figures) -> list[tuple[str, str]]:
    """What a device can do, as names and values."""
    if f.range is None:
        return [("range", "unbounded")]
    rows = [("range", f"w = {f.range[0]:.4g} to {f.range[1]:.4g}, theta = {device.scale:g} w")]
    if f.granularity is None or f.steps is None:
        return rows
    rows.append(("steps", f"{whole(f.steps)} of {f.granularity:.4g} from end to end"))
    if f.step_up is None or f.step_down is None or f.step_noise is None:
        return rows
    up, down = f.step_up, f.step_down
    of_range = (f.write_noise or 0.0) / (f.range[1] - f.range[0])
    return [
        rows[0],
        ("pulses", f"{pulse_text(f.pulses_up)} up, {pulse_text(f.pulses_down)} down over nine tenths of the range; "
                   f"{whole(f.steps)} steps of {f.granularity:.4g} from end to end"),
        ("asymmetry", f"{percent(f.asymmetry)} (mean of |up - down| / (up + down)); "
                      f"at w = 0 {up:.4g} up, {down:.4g} down; "
                      f"equal at w = {symmetry_text(f, 'any', 'none')}") if not device.one_sided else
        ("pair", f"of devices written upwards only, by {up:.4g} in the middle of the range of one"),
        ("noise", f"{percent(f.step_noise)} of a step from pulse to pulse; "
                  f"{f.write_noise:.3g} ({percent(of_range)} of the range) in w after a write"),
        ("spread", "" if device.dw_spread == device.w_max_spread == device.w_min_spread == 0 else
                   f"{percent(device.dw_spread)} of the step{' (log-normal)' if device.dw_lognormal else ''}, "
                   f"{percent(device.w_max_spread)} of w_max, {percent(device.w_min_spread)} of w_min between devices"),
    ]  # fmt: skip
