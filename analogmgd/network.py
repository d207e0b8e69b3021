"""Networks: layers laid out on crossbars, their activations and the cost that is measured at their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from .settings import Positive, Settings, number, short, whole

Activation = Literal["sigmoid", "tanh", "relu", "linear"]
Cost = Literal["mse", "cross-entropy"]
Width = Annotated[int, BeforeValidator(whole), Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, BeforeValidator(number), Field(ge=0, lt=1)]


class Dense(Settings):
    """A fully connected layer: a = W x + b, f(a).

    n_in, n_out : int
        Widths. Parameters: W row-major (n_out, n_in), then b (n_out,).
    activation : "sigmoid" | "tanh" | "relu" | "linear"

    >>> Dense(2, 1).n_params
    3
    """

    table: ClassVar[str] = "layer"
    n_in: Width
    n_out: Width
    activation: Activation = "sigmoid"

    def __init__(self, n_in: int, n_out: int, activation: Activation = "sigmoid", **unknown: Any) -> None:
        super().__init__(n_in=n_in, n_out=n_out, activation=activation, **unknown)

    @property
    def n_params(self) -> int:
        """Number of weights and biases."""
        return self.n_out * (self.n_in + 1)


class Network(Settings):
    """Layers in order, the cost, and how the parameters start.

    layers : sequence of Dense
    cost : "mse" | "cross-entropy"
        Mean over outputs of the squared error, or softmax cross-entropy on logits (use a linear last layer).
    label_smoothing : float in [0, 1)
        Cross-entropy only: targets become (1 - s) y + s / n_out.
    init : "uniform" | "glorot"
        theta0 uniform in +-init_scale, or each layer's weights uniform in +-init_scale sqrt(6 / (n_in + n_out)), biases
        0 (Glorot & Bengio 2010).
    init_scale : float > 0; default 0.5 for uniform, 1 for glorot.

    >>> Network([Dense(49, 4), Dense(4, 4)]).n_params
    220
    >>> Network.mlp([2, 2, 1]) == Network([Dense(2, 2), Dense(2, 1)])
    True
    """

    table: ClassVar[str] = "network"
    also: ClassVar[tuple[str, ...]] = ("sizes", "activation", "output")
    layers: tuple[Dense, ...] = Field(min_length=1)
    cost: Cost = "mse"
    label_smoothing: Fraction = 0.0
    init: Literal["uniform", "glorot"] = "uniform"
    init_scale: Positive = 0.5

    def __init__(self, /, layers: Sequence[Dense] = (), **settings: Any) -> None:
        if settings.get("init") == "glorot":
            settings.setdefault("init_scale", 1.0)
        super().__init__(layers=layers, **settings)

    @model_validator(mode="after")
    def _chained(self) -> Self:
        for first, second in zip(self.layers, self.layers[1:], strict=False):
            if first.n_out != second.n_in:
                raise ValueError(f"layers do not fit: one has n_out = {first.n_out}, the next n_in = {second.n_in}")
        if self.cost == "cross-entropy" and self.n_out < 2:
            raise ValueError(f'cost = "cross-entropy" needs at least 2 outputs, the last layer has {self.n_out}')
        if self.label_smoothing and self.cost != "cross-entropy":
            raise ValueError(f'label_smoothing = {self.label_smoothing:g} needs cost = "cross-entropy"')
        return self

    @classmethod
    def mlp(
        cls,
        /,
        sizes: Sequence[int],
        activation: Activation = "sigmoid",
        output: Activation | None = None,
        **settings: Any,
    ) -> Network:
        """A multilayer perceptron: widths from input to output, one activation for the hidden layers.

        output : activation of the last layer; default the same, or "linear" where the cost is cross-entropy.
        """
        from .errors import ConfigError

        if isinstance(sizes, str) or not isinstance(sizes, Sequence) or len(sizes) < 2:
            raise ConfigError(f"network.sizes = {sizes!r}: must be a list of at least 2 widths, input to output")
        if output is None:
            output = "linear" if settings.get("cost") == "cross-entropy" else activation
        for key, value in (("activation", activation), ("output", output)):
            if value not in get_args(Activation):
                allowed = ", ".join(f'"{name}"' for name in get_args(Activation))
                raise ConfigError(f"network.{key} = {short(value)}: must be one of {allowed}")
        last = len(sizes) - 2
        try:
            layers = [Dense(sizes[q], sizes[q + 1], output if q == last else activation) for q in range(last + 1)]
        except ConfigError as error:
            raise ConfigError(f"network.sizes = {short(sizes)}: every width {str(error).split(': ')[-1]}") from None
        return cls(layers, **settings)

    @classmethod
    def from_table(cls, values: dict[str, Any]) -> Network:
        """From a TOML table: `sizes`, `activation`, `output` as in `mlp`, or `layers`, an array of tables."""
        from .errors import ConfigError

        values = dict(values)
        if "sizes" in values:
            if "layers" in values:
                raise ConfigError("network: give sizes or layers, not both")
            return cls.mlp(values.pop("sizes"), **values)
        layers = values.pop("layers", None)
        if not isinstance(layers, list) or not all(isinstance(row, dict) for row in layers):
            raise ConfigError("network: needs sizes (a list of widths) or layers (an array of tables)")
        made = []
        for row in layers:
            row = dict(row)
            kind = row.pop("type", "dense")
            if kind != "dense":
                raise ConfigError(f'network.layers.type = {kind!r}: must be "dense"')
            try:
                made.append(Dense(**row))
            except TypeError:
                raise ConfigError("network.layers: a dense layer needs n_in and n_out") from None
        return cls(made, **values)

    @model_serializer
    def _table(self) -> dict[str, Any]:
        settings = {k: getattr(self, k) for k in type(self).model_fields if k != "layers"}
        hidden = {layer.activation for layer in self.layers[:-1]}
        if len(hidden) <= 1:
            output = self.layers[-1].activation
            sizes = [self.layers[0].n_in, *(layer.n_out for layer in self.layers)]
            return {
                "sizes": sizes,
                "activation": hidden.pop() if hidden else output,
                "output": output,
                **settings,
            }
        rows = [{"type": "dense", "n_in": q.n_in, "n_out": q.n_out, "activation": q.activation} for q in self.layers]
        return {"layers": rows, **settings}

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.layers[0].n_in

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.layers[-1].n_out

    @property
    def n_params(self) -> int:
        """P, the number of weights and biases."""
        return sum(layer.n_params for layer in self.layers)

    @property
    def n_neurons(self) -> int:
        """Number of neurons, inputs not counted."""
        return sum(layer.n_out for layer in self.layers)

    def __str__(self) -> str:
        return "-".join(str(n) for n in [self.n_in, *(layer.n_out for layer in self.layers)])
