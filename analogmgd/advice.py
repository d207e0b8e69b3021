"""Settings that are allowed but spoil the gradient estimate."""

from __future__ import annotations

import math

from .rule import MGD, Backprop

DOUBLE_AMPLITUDE = 1e-12  # below, theta + theta_ac rounds back to theta or nearly so
SINGLE_AMPLITUDE = 1e-4  # below, rounding in single precision is more than about 1e-3 of C_ac
RESET_SHARE = 0.01  # factor shared over tau_x above which analog mode warns: an error of up to three times that


def warnings_for(
    rule: MGD | Backprop, n_params: int, n_train: int, order: str, precision: str, layers: int = 1
) -> list[str]:
    """One line for each way in which these settings spoil G; empty for backpropagation.

    n_params : P, or how many nodes are perturbed
    n_train : samples of the training set
    order : "shuffle" | "sequential"
    precision : "single" | "double"
    layers : of the network

    >>> warnings_for(MGD(perturbation="walsh"), 9, 4, "shuffle", "single")
    []
    >>> len(warnings_for(MGD(perturbation="walsh"), 9, 4, "sequential", "single"))
    1
    """
    if not isinstance(rule, MGD):
        return []
    found = []
    data = data_period(rule, n_train)
    if order == "sequential" and (shared := shared_factor(rule, n_params, data, rule.tau_x, layers)) > 1:
        period = rule.period(n_params, layers)
        cures = ['order = "shuffle"']
        cures += [f"tau_x = {period}"] if rule.mode == "discrete" else []
        cures += [f"tau_p = {data}"] if rule.perturbation != "sinusoid" and rule.mode == "discrete" else []
        found.append(
            f'perturbation = "{rule.perturbation}" with order = "sequential": samples repeat every {data} steps and '
            f"perturbations every {period}, which share the factor {shared}, so the same ones always meet and G is "
            f"biased for ever: use {' or '.join(cures)}"
        )
    if precision == "single" and rule.amplitude < SINGLE_AMPLITUDE:
        found.append(
            f"amplitude = {rule.amplitude:g} in single precision: rounding of the costs is a visible part of their "
            f'change C_ac: use precision = "double" or an amplitude of at least {SINGLE_AMPLITUDE:g}'
        )
    if precision == "double" and rule.amplitude < DOUBLE_AMPLITUDE:
        found.append(
            f"amplitude = {rule.amplitude:g} in double precision: the perturbation is lost in the rounding of theta: "
            f"use an amplitude of at least {DOUBLE_AMPLITUDE:g}"
        )
    if rule.mode == "analog":
        found += analog_warnings(rule, n_params, layers)
    return found


def analog_warnings(rule: MGD, n_params: int, layers: int) -> list[str]:
    """What the high-pass, or its reset at a change of the sample, does to periodic perturbations."""
    kind = f'perturbation = "{rule.perturbation}" with mode = "analog"'
    if rule.perturbation != "sinusoid" and rule.tau_p % rule.tau_x == 0:
        return [
            f'tau_p = {rule.tau_p} is a multiple of tau_x = {rule.tau_x} with mode = "analog": every change of the '
            f"perturbation falls on a change of the sample, where the cost's does not pass the high-pass, so C_ac "
            f"tells nothing about the gradient: use tau_x > tau_p"
        ]
    if rule.perturbation == "sequential":
        return [
            f"{kind}: the high-pass takes away what all turns have in common, so G becomes the gradient less its "
            f"mean over the parameters: use another perturbation"
        ]
    shared = shared_factor(rule, n_params, rule.tau_x, 1, layers)
    if shared == 1 or shared <= RESET_SHARE * rule.tau_x:
        return []
    near = range(rule.tau_x + 1, rule.tau_x + 1000)
    whole = (x for x in near if (x / rule.dt).is_integer())
    better = next((x for x in whole if shared_factor(rule, n_params, x, 1, layers) == 1), None)
    advice = f", for example, tau_x = {better}" if better else " another tau_x or band"
    period = rule.period(n_params, layers)
    return [
        f"{kind}: tau_x = {rule.tau_x} and the period of the perturbation, {period} steps, share the factor "
        f"{shared}, so changes of the sample always take the same part of it away and G is biased for ever: "
        f"use{advice}"
    ]


def data_period(rule: MGD, n_train: int) -> int:
    """Steps after which samples in sequential order repeat."""
    return rule.tau_x * (n_train // math.gcd(n_train, rule.batch))


def shared_factor(rule: MGD, n_params: int, cycle: int, hold: int, layers: int = 1) -> int:
    """Common factor through which perturbations lock to something that repeats every `cycle` steps; 1 if they do not.

    At step n that something is in its state (n % cycle) // hold, and the perturbation at its n // tau_p. Only those
    meet whose steps agree modulo g = gcd(cycle, period). All meet equally often if g is 1, or divides hold (each state
    lasts for every residue), or divides tau_p (each perturbation does).
    """
    period = rule.period(n_params, layers)
    if period is None:
        return 1
    shared = math.gcd(cycle, period)
    held = max(1, round(rule.dt)) if rule.perturbation == "sinusoid" else rule.tau_p
    return 1 if hold % shared == 0 or held % shared == 0 else shared
