"""AdamW with a learning rate for each group of layers and a momentum that may be a schedule."""

import fnmatch
import math
from collections.abc import Mapping
from typing import Any, Self

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule


@keras.saving.register_keras_serializable("keras_audio")
class GroupedAdamW(keras.optimizers.Optimizer):
    """Adam with decoupled weight decay, learning-rate groups and a momentum that may change.

    Colangelo et al. 2021, section 3: one cycle of learning rate and momentum, weight decay 0.1, the
    last layer at the rate and the others at a third of it. The rest is as in the fastai 1 library
    that the paper used. At step t, counted from 1, a weight `w` of a group of the factor `f` goes
    by its gradient `g`:

        rate = f * learning_rate
        w = w * (1 - rate * weight_decay)
        m = momentum * m + (1 - momentum) * g
        v = beta_2 * v + (1 - beta_2) * g ** 2
        w = w - rate * (m / (1 - momentum ** t)) / (sqrt(v / (1 - beta_2 ** t)) + epsilon)

    All weights decay, also offsets and those of batch normalisation.

    Args:
        learning_rate: The rate of the groups of the factor 1, or a schedule.
        momentum: Decay of the average of gradients (Adam's beta_1), from 0 to below 1; or a
            schedule, such as `OneCycleMomentum`. The bias of the average is corrected by the
            momentum of the present step.
        beta_2: Decay of the average of squared gradients, from 0 to below 1.
        epsilon: Added to the root of that average, once its bias is corrected.
        weight_decay: Share of a weight that a step at a learning rate of 1 would take away.
        groups: The factor of the learning rate by patterns of layer names, such as
            `{"logits*": 1.0, "*": 1 / 3}`: `*` stands for any characters, `?` for one. Of the
            patterns that a layer's name, or that of a layer around it, matches the first decides;
            without any the factor is 1. Weights of a group of the factor 0 stay as they are, bit
            for bit (but not the moving statistics of batch normalisation, which no optimizer sets).
        **kwargs: Further arguments of `keras.optimizers.Optimizer`: `name`, `clipnorm`, ...

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(2, name=name) for name in "ab"])
        >>> model.build((None, 2))
        >>> optimizer = GroupedAdamW(0.01, groups={"b*": 1.0, "*": 1 / 4})
        >>> optimizer.build(model.trainable_variables)
        >>> [optimizer.factor(layer.kernel) for layer in model.layers]
        [0.25, 1.0]
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 1e-3,
        momentum: float | LearningRateSchedule = 0.9,
        beta_2: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.1,
        groups: Mapping[str, float] | None = None,
        **kwargs: Any,
    ):
        # Keras's own decay knows nothing of groups, so that it stays off.
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum, self.beta_2, self.epsilon = momentum, beta_2, epsilon
        self.decoupled_weight_decay = weight_decay
        # Pairs, for Keras makes its own kind of dictionary of an attribute that is one.
        self._groups = None if groups is None else tuple(groups.items())
        shares = {"beta_2": beta_2}
        if not isinstance(momentum, LearningRateSchedule):
            shares["momentum"] = momentum
        for name, value in shares.items():
            if not (isinstance(value, int | float) and 0 <= value < 1):
                raise ValueError(f"Expected {name} from 0 to below 1. Received: {name}={value}")
        factors = {f"groups[{pattern!r}]": factor for pattern, factor in self._groups or ()}
        for name, value in {"epsilon": epsilon, "weight_decay": weight_decay, **factors}.items():
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise ValueError(f"Expected {name} to be at least 0. Received: {name}={value}")

    def build(self, variables) -> None:
        """Make the two averages of each variable, and find its group."""
        if self.built:
            return
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])
        self._factors = [self._factor_of(variable.path) for variable in variables]

    def factor(self, variable: keras.Variable) -> float:
        """The factor of the learning rate of a variable that the optimizer was built with."""
        return self._factors[self._get_variable_index(variable)]

    def _factor_of(self, path: str) -> float:
        """The factor of the variable of a path such as `block/conv/kernel`."""
        *layers, own_name = path.split("/")
        for pattern, factor in self._groups or ():
            if any(fnmatch.fnmatchcase(layer, pattern) for layer in layers or [own_name]):
                return float(factor)
        return 1.0

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Change one variable by its gradient; see the class."""
        index = self._get_variable_index(variable)
        if self._factors[index] == 0:  # 0 times a gradient that is not finite would be no 0
            return

        def cast(value):
            return ops.cast(value, variable.dtype)

        gradient, rate = cast(gradient), cast(learning_rate) * self._factors[index]
        momentum, updates = cast(self._present_momentum()), cast(self.iterations + 1)
        mean, square = self._means[index], self._squares[index]
        self.assign(mean, momentum * mean + (1.0 - momentum) * gradient)
        self.assign(square, self.beta_2 * square + (1.0 - self.beta_2) * ops.square(gradient))
        unbiased_mean = mean / (1.0 - ops.power(momentum, updates))
        unbiased_square = square / (1.0 - ops.power(cast(self.beta_2), updates))
        kept = variable * (1.0 - rate * self.decoupled_weight_decay)
        self.assign(
            variable, kept - rate * unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon)
        )

    def _present_momentum(self):
        if not isinstance(self.momentum, LearningRateSchedule):
            return self.momentum
        # As Keras counts for the learning rate: an update of several batches is at its last one.
        batches = self.gradient_accumulation_steps or 1
        return self.momentum(self.iterations * batches + batches - 1)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that rebuild the optimizer."""
        momentum = self.momentum
        if isinstance(momentum, LearningRateSchedule):
            momentum = keras.saving.serialize_keras_object(momentum)
        return super().get_config() | {
            "momentum": momentum,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "weight_decay": self.decoupled_weight_decay,
            "groups": None if self._groups is None else dict(self._groups),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Self:
        """Rebuild an optimizer, without its state, from what `get_config` gave."""
        config = dict(config)
        if isinstance(config["momentum"], dict):
            config["momentum"] = keras.saving.deserialize_keras_object(
                config["momentum"], custom_objects=custom_objects
            )
        return super().from_config(config, custom_objects)
