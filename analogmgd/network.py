"""Networks: layers laid out on crossbars, their activations and the cost that is measured at their outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from .layers import KINDS, Activation, AvgPool2d, Conv2d, Dense, Flatten, Layer, MaxPool2d, Shape, Width
from .settings import Positive, Settings, did_you_mean, number, short

Cost = Literal["mse", "cross-entropy"]


def _shape(value: Any) -> Any:
    if value is not None and (not isinstance(value, list | tuple) or len(value) != 3):
        raise ValueError("must be channels, height and width")
    return value if value is None else tuple(value)


def _made(value: Any) -> Any:
    if not isinstance(value, tuple(KINDS.values())):
        raise ValueError(f"must be one of {', '.join(kind.__name__ for kind in KINDS.values())}")
    return value


Fraction = Annotated[float, BeforeValidator(number), Field(ge=0, lt=1)]


class Network(Settings):
    """Layers in order, the cost, and how the parameters start.

    layers : sequence of Dense, Conv2d, MaxPool2d, AvgPool2d, Flatten
    input_shape : (channels, height, width) of the inputs where the first layer takes pictures; their numbers stand
        channel by channel and row by row
    cost : "mse" | "cross-entropy"
        Mean over outputs of the squared error, or softmax cross-entropy on logits (use a linear last layer).
    label_smoothing : float in [0, 1)
        Cross-entropy only: targets become (1 - s) y + s / n_out.
    init : "uniform" | "glorot"
        theta0 uniform in +-init_scale, or each layer's weights uniform in +-init_scale sqrt(6 / (fan_in + fan_out)),
        biases 0 (Glorot & Bengio 2010), fans n_in and n_out, of a convolution channels times cells of a kernel.
    init_scale : float > 0; default 0.5 for uniform, 1 for glorot.

    >>> Network([Dense(49, 4), Dense(4, 4)]).n_params
    220
    >>> Network.mlp([2, 2, 1]) == Network([Dense(2, 2), Dense(2, 1)])
    True
    >>> Network.preset("fashion-cnn").n_params, Network.preset("cifar-cnn").n_params
    (14378, 26154)
    """

    table: ClassVar[str] = "network"
    also: ClassVar[tuple[str, ...]] = ("sizes", "activation", "output", "preset")
    layers: tuple[Annotated[Layer, BeforeValidator(_made)], ...] = Field(min_length=1)
    input_shape: Annotated[tuple[Width, Width, Width] | None, BeforeValidator(_shape)] = None
    cost: Cost = "mse"
    label_smoothing: Fraction = 0.0
    init: Literal["uniform", "glorot"] = "uniform"
    init_scale: Positive = 0.5

    def __init__(self, /, layers: Sequence[Layer] = (), **settings: Any) -> None:
        if settings.get("init") == "glorot":
            settings.setdefault("init_scale", 1.0)
        super().__init__(layers=layers, **settings)

    @model_validator(mode="after")
    def _chained(self) -> Self:
        if self.input_shape is None and not isinstance(self.layers[0], Dense):
            raise ValueError(f"input_shape is required: (channels, height, width) of what {self.layers[0]} takes")
        if not isinstance(self.layers[-1], Dense):
            raise ValueError(f"the last layer is {self.layers[-1]}: must be dense")
        for k, layer in enumerate(self.layers):
            layer.shape_after(self.shapes[k])
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
            raise ConfigError(f"network.sizes = {short(sizes)}: must be a list of at least 2 widths, input to output")
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
    def preset(cls, name: str, **settings: Any) -> Network:
        """A named network: "fashion-cnn", "cifar-cnn", "mlp-784-128-10", those of McCaughan et al. 2023 with relu,
        cross-entropy with label smoothing 0.01, and a Glorot-uniform start; `settings` that differ."""
        from .errors import ConfigError

        if not isinstance(name, str) or name not in NETWORKS:
            hint = did_you_mean(str(name), list(NETWORKS))
            raise ConfigError(f"network.preset = {short(name)}: unknown network{hint}; known: {', '.join(NETWORKS)}")
        layers, shape = NETWORKS[name]
        usual: dict[str, Any] = {
            "cost": "cross-entropy",
            "label_smoothing": 0.01,
            "init": "glorot",
            "input_shape": shape,
        }
        return cls(layers, **{**usual, **settings})

    @classmethod
    def from_table(cls, values: dict[str, Any]) -> Network:
        """From a TOML table: `preset`; `sizes`, `activation`, `output` as in `mlp`; or `layers`, an array of tables."""
        from .errors import ConfigError

        values = dict(values)
        given = [key for key in ("preset", "sizes", "layers") if key in values]
        if len(given) > 1:
            raise ConfigError(f"network: give {given[0]} or {given[1]}, not both")
        own = [key for key in ("activation", "output") if key in values]
        if own and given and given != ["sizes"]:
            raise ConfigError(
                f"network.{own[0]} = {short(values[own[0]])}: goes with sizes; listed layers and presets have their own"
            )
        if "preset" in values:
            return cls.preset(values.pop("preset"), **values)
        if "sizes" in values:
            return cls.mlp(values.pop("sizes"), **values)
        layers = values.pop("layers", None)
        if not isinstance(layers, list) or not all(isinstance(row, dict) for row in layers):
            raise ConfigError("network: needs sizes (a list of widths) or layers (an array of tables)")
        return cls([_layer(dict(row), k) for k, row in enumerate(layers)], **values)

    @model_serializer
    def _table(self) -> dict[str, Any]:
        settings = {k: getattr(self, k) for k in type(self).model_fields if k != "layers"}
        if self.input_shape is None:
            del settings["input_shape"]
        if all(isinstance(layer, Dense) for layer in self.layers):
            hidden = {layer.activation for layer in self.arrays[:-1]}
            if len(hidden) <= 1:
                output = self.arrays[-1].activation
                sizes = [self.n_in, *(layer.columns for layer in self.arrays)]
                return {
                    "sizes": sizes,
                    "activation": hidden.pop() if hidden else output,
                    "output": output,
                    **settings,
                }
        rows = [{"type": q.kind, **{k: v for k, v in q.model_dump().items() if v is not None}} for q in self.layers]
        return {"layers": rows, **settings}

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of the inputs, and of what each layer makes of them."""
        first = self.layers[0]
        shape: Shape = self.input_shape or (first.n_in if isinstance(first, Dense) else 0,)
        found = [shape]
        for layer in self.layers:
            shape = layer.shape_after(shape)
            found.append(shape)
        return found

    @property
    def arrays(self) -> list[Dense | Conv2d]:
        """The layers that have weights, each on a crossbar of its own."""
        return [layer for layer in self.layers if isinstance(layer, Dense | Conv2d)]

    @property
    def pictures(self) -> bool:
        """Whether there are convolutions or pools in it."""
        return any(isinstance(layer, Conv2d | MaxPool2d | AvgPool2d) for layer in self.layers)

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return math.prod(self.shapes[0])

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.shapes[-1][0]

    @property
    def n_params(self) -> int:
        """P, the number of weights and biases."""
        return sum(layer.n_params for layer in self.layers)

    @property
    def products(self) -> int:
        """Products of a weight and an input in one evaluation, biases not counted."""
        return sum(q.rows * q.columns * n for q, n in zip(self.arrays, self.places, strict=True))

    @property
    def column_reads(self) -> int:
        """Columns of its arrays that are read in one evaluation: those of a convolution once for each place."""
        return sum(layer.columns * n for layer, n in zip(self.arrays, self.places, strict=True))

    @property
    def places(self) -> list[int]:
        """How often each array is used in one evaluation."""
        shapes = zip(self.layers, self.shapes[1:], strict=True)
        return [math.prod(shape[1:]) for layer, shape in shapes if isinstance(layer, Dense | Conv2d)]

    @property
    def cells(self) -> int:
        """Numbers between its layers in one evaluation, with the margins of padded ones, and some for each layer."""
        count = 0
        for layer, shape in zip(self.layers, self.shapes, strict=False):
            around = 2 * layer.padding if isinstance(layer, Conv2d) else 0
            count += math.prod((shape[0], *(n + around for n in shape[1:]))) + 200
        return count + self.n_out + 200

    @property
    def n_neurons(self) -> int:
        """Number of neurons, inputs not counted: one for each column of an array."""
        return sum(layer.columns for layer in self.arrays)

    def __str__(self) -> str:
        first = "x".join(str(n) for n in self.shapes[0])
        return "-".join([first, *(str(layer) for layer in self.layers)])


def _layer(row: dict[str, Any], k: int) -> Layer:
    """Layer k, counted from 0, from its TOML table."""
    from .errors import ConfigError

    kind = row.pop("type", "dense")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"network.layers[{k}].type = {short(kind)}: must be one of {', '.join(KINDS)}")
    try:
        return KINDS[kind](**row)
    except ConfigError as error:
        raise ConfigError(f"network.layers[{k}]{str(error).removeprefix('layer')}") from None
    except TypeError:
        needs = {"dense": "n_in and n_out", "conv2d": "c_in and c_out"}[kind]  # the others need nothing
        raise ConfigError(f"network.layers[{k}]: a {kind} layer needs {needs}") from None


NETWORKS: dict[str, tuple[list[Layer], tuple[int, int, int] | None]] = {
    "fashion-cnn": (
        [
            Conv2d(1, 16), MaxPool2d(2), Conv2d(16, 32), MaxPool2d(2), Conv2d(32, 32), MaxPool2d(2), Flatten(),
            Dense(32, 10, "linear"),
        ],
        (1, 28, 28),
    ),
    "cifar-cnn": (
        [
            Conv2d(3, 16), MaxPool2d(2), Conv2d(16, 32), MaxPool2d(2), Conv2d(32, 64), MaxPool2d(2), Flatten(),
            Dense(256, 10, "linear"),
        ],
        (3, 32, 32),
    ),
    "mlp-784-128-10": ([Dense(784, 128, "relu"), Dense(128, 10, "linear")], None),
}  # fmt: skip
