"""AdamW in groups against plain NumPy at every step, against PyTorch, saved, and on JAX."""

import contextlib
import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_audio.schedules import GroupedAdamW, OneCycle, OneCycleMomentum

STEPS = 40
GROUPS = {"logits*": 1.0, "frozen": 0.0, "*": 1 / 3}
FACTORS = {"conv1": 1 / 3, "frozen": 0.0, "logits": 1.0, "logits_hidden": 1.0}


def half_cosine(start, end, share):
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


def cycle(step, first, middle, last, steps=STEPS, warmup=0.3):
    """One cycle in float64: from the first value to the middle one, and on to the last."""
    rise = warmup * steps
    if step < rise:
        return half_cosine(first, middle, step / rise)
    return half_cosine(middle, last, min(1.0, (step - rise) / (steps - rise)))


def by_hand(weight, gradients, factor, rates, momenta, beta_2=0.99, epsilon=1e-8, decay=0.1):
    """The weight after each step, in float64, from the definition of decoupled Adam."""
    weight, means, squares, weights = np.asarray(weight, "float64"), 0.0, 0.0, []
    for step, gradient in enumerate(np.asarray(gradients, "float64"), start=1):
        rate, momentum = factor * rates[step - 1], momenta[step - 1]
        weight = weight - rate * decay * weight
        means = means + (1 - momentum) * (gradient - means)
        squares = squares + (1 - beta_2) * (gradient**2 - squares)
        scale = np.sqrt(squares) / np.sqrt(1 - beta_2**step) + epsilon
        weight = weight - rate / (1 - momentum**step) * means / scale
        weights.append(weight)
    return np.array(weights)


class Weights(keras.layers.Layer):
    """A layer that is one weight."""

    def build(self, shape):
        self.weight = self.add_weight(shape=shape, name="weight")


def layers_of(names=tuple(FACTORS), seed=0):
    layers = [Weights(name=name) for name in names]
    for number, layer in enumerate(layers):
        layer.build((3, 2))
        layer.weight.assign(np.random.default_rng([seed, number]).normal(size=(3, 2)))
    return layers


def gradients_of(count, seed=1):
    """(steps, weights, 3, 2), of very different sizes."""
    generator = np.random.default_rng(seed)
    sizes = 10.0 ** generator.uniform(-4, 2, size=(1, count, 3, 2))
    return (sizes * generator.normal(size=(STEPS, count, 3, 2))).astype("float32")


def make(**changed):
    arguments = {
        "learning_rate": OneCycle(0.05, STEPS),
        "momentum": OneCycleMomentum(STEPS),
        "groups": GROUPS,
    }
    return GroupedAdamW(**{**arguments, **changed})


def run(optimizer, layers, gradients):
    """The weights after each step: (steps, weights, 3, 2); on JAX compiled, as it trains."""
    variables, after = [layer.weight for layer in layers], []
    optimizer.build(variables)
    compiled = None
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(optimizer.stateless_apply)
    for step_gradients in gradients:
        step_gradients = [keras.ops.convert_to_tensor(one) for one in step_gradients]
        if compiled is None:
            optimizer.apply(step_gradients, variables)
        else:
            everything = [*variables, *optimizer.variables]
            values = [variable.value for variable in everything]
            count = len(variables)
            weights, state = compiled(values[count:], step_gradients, values[:count])
            for variable, value in zip(everything, [*weights, *state], strict=True):
                variable.assign(value)
        after.append([keras.ops.convert_to_numpy(variable) for variable in variables])
    return np.array(after)


def test_every_step_is_as_by_hand_with_cycle_momentum_and_groups():
    layers = layers_of()
    before = [keras.ops.convert_to_numpy(layer.weight) for layer in layers]
    gradients = gradients_of(len(layers))
    after = run(make(), layers, gradients)
    rates = [cycle(step, 0.05 / 25, 0.05, 0.05 / 25e4) for step in range(STEPS)]
    momenta = [cycle(step, 0.95, 0.85, 0.95) for step in range(STEPS)]
    for number, layer in enumerate(layers):
        expected = by_hand(
            before[number], gradients[:, number], FACTORS[layer.name], rates, momenta
        )
        np.testing.assert_allclose(after[:, number], expected, rtol=2e-5, atol=2e-6)
    # The groups, the cycle and the momentum each make a difference that the tolerance sees.
    assert not np.allclose(after[:, 0] - before[0], (after[:, 2] - before[2]) / 3, atol=1e-3)
    plain = by_hand(before[2], gradients[:, 2], 1.0, rates, [0.9] * STEPS)
    assert np.abs(plain[-1] - after[-1, 2]).max() > 1e-3


def test_a_constant_rate_and_momentum_without_groups():
    layers = layers_of()
    before = [keras.ops.convert_to_numpy(layer.weight) for layer in layers]
    gradients = gradients_of(len(layers))
    settings = {"beta_2": 0.9, "epsilon": 0.01, "weight_decay": 0.5}
    optimizer = make(learning_rate=0.02, momentum=0.7, groups=None, **settings)
    after = run(optimizer, layers, gradients)
    for number in range(len(layers)):
        expected = by_hand(
            before[number], gradients[:, number], 1.0, [0.02] * STEPS, [0.7] * STEPS, 0.9, 0.01, 0.5
        )
        np.testing.assert_allclose(after[:, number], expected, rtol=2e-5, atol=2e-6)


def test_each_step_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    layers = layers_of()
    weights = [
        torch.nn.Parameter(torch.from_numpy(np.array(keras.ops.convert_to_numpy(layer.weight))))
        for layer in layers
    ]
    gradients = gradients_of(len(layers))
    after = run(make(), layers, gradients)
    others = torch.optim.AdamW(
        [{"params": [weight]} for weight in weights], lr=1.0, weight_decay=0.1
    )
    for step in range(STEPS):
        for number, group in enumerate(others.param_groups):
            group["lr"] = FACTORS[layers[number].name] * float(OneCycle(0.05, STEPS)(step))
            group["betas"] = (float(OneCycleMomentum(STEPS)(step)), 0.99)
            weights[number].grad = torch.from_numpy(gradients[step, number])
        others.step()
        for number, weight in enumerate(weights):
            np.testing.assert_allclose(
                after[step, number], weight.detach().numpy(), rtol=1e-5, atol=1e-6
            )


def test_the_factor_0_freezes_exactly_whatever_the_gradient():
    layers = layers_of(("frozen", "logits"))
    before = keras.ops.convert_to_numpy(layers[0].weight)
    gradients = gradients_of(2)
    gradients[3:5, 0] = np.nan, np.inf
    after = run(make(learning_rate=1.0), layers, gradients)
    np.testing.assert_array_equal(after[:, 0], np.broadcast_to(before, after[:, 0].shape))
    assert (after[-1, 1] != after[0, 1]).all()


@pytest.mark.parametrize(
    ("groups", "path", "factor"),
    [
        ({"logits*": 1.0, "*": 0.5}, "logits_hidden/kernel", 1.0),
        ({"logits*": 1.0, "*": 0.5}, "conv1/kernel", 0.5),
        ({"*": 0.5, "logits*": 1.0}, "logits/kernel", 0.5),  # the first that matches
        ({"logits": 2.0}, "logits_hidden/kernel", 1.0),  # none: 1
        ({"logits": 2.0}, "head/logits/kernel", 2.0),  # a layer within another,
        ({"head": 2.0}, "head/logits/kernel", 2.0),  # and around another
        ({"kernel": 2.0, "Logits": 3.0}, "logits/kernel", 1.0),  # layers only, case and all
        ({"layer?_0": 2}, "layer1_0/kernel", 2.0),
        ({"al*": 0.1}, "alone", 0.1),  # a weight of no layer goes by its own name
    ],
)
def test_groups_go_by_the_names_of_layers(groups, path, factor):
    *layers, name = path.split("/")
    with contextlib.ExitStack() as scopes:
        for layer in layers:
            scopes.enter_context(keras.name_scope(layer))
        made = keras.Variable(np.ones(2, "float32"), name=name)
    assert made.path == path
    optimizer = GroupedAdamW(groups=groups)
    optimizer.build([made])
    assert optimizer.factor(made) == factor


@pytest.mark.parametrize("momentum", [0.8, OneCycleMomentum(STEPS, 0.9, 0.7, 0.2)])
def test_saved_midway_it_goes_on_equal(momentum):
    layers, gradients = layers_of(), gradients_of(len(FACTORS))
    optimizer = make(momentum=momentum, clipnorm=1.0)
    straight = run(optimizer, layers, gradients)
    layers, first = layers_of(), make(momentum=momentum, clipnorm=1.0)
    before = run(first, layers, gradients[:17])
    state = [keras.ops.convert_to_numpy(variable) for variable in first.variables]
    config = keras.saving.serialize_keras_object(first)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == first.get_config() == optimizer.get_config() | {"name": first.name}
    assert isinstance(again.get_config()["groups"], dict)
    fresh = layers_of(seed=5)
    for old, new in zip(layers, fresh, strict=True):
        new.weight.assign(old.weight)
    again.build([layer.weight for layer in fresh])
    for variable, value in zip(again.variables, state, strict=True):
        variable.assign(value)
    after = run(again, fresh, gradients[17:])
    np.testing.assert_array_equal(np.concatenate([before, after]), straight)


def test_in_a_saved_model(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="body"),
            keras.layers.Dense(2, name="logits"),
        ]
    )
    model.compile(make(), loss="mse")
    x, y = np.random.default_rng(0).normal(size=(2, 8, 4)).astype("float32")
    model.fit(x, y[:, :2], verbose=0, epochs=3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one in model, again:
        one.fit(x, y[:, :2], verbose=0, epochs=3, shuffle=False)
        kernels = {layer.name: one.optimizer.factor(layer.kernel) for layer in one.layers}
        assert kernels == {"body": 1 / 3, "logits": 1.0}
    for ours, theirs in zip(again.variables, model.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )


def test_within_a_scaled_loss():
    layers, gradients = layers_of(), gradients_of(len(FACTORS))
    straight = run(make(), layers, gradients)
    layers = layers_of()
    scaled = keras.optimizers.LossScaleOptimizer(make(), initial_scale=2.0**10)
    # Of a step whose gradients overflow nothing stays, but that the scale is halved.
    broken = np.full_like(gradients[:1], np.inf)
    after = run(scaled, layers, np.concatenate([broken, np.float32(2**9) * gradients]))
    np.testing.assert_array_equal(after[1:], straight)
    assert int(scaled.iterations) == STEPS


def test_gradients_of_several_batches():
    layers, gradients = layers_of(), gradients_of(len(FACTORS))
    before = [keras.ops.convert_to_numpy(layer.weight) for layer in layers]
    after = run(make(gradient_accumulation_steps=2), layers, gradients)
    rates = [cycle(step, 0.05 / 25, 0.05, 0.05 / 25e4) for step in range(1, STEPS, 2)]
    momenta = [cycle(step, 0.95, 0.85, 0.95) for step in range(1, STEPS, 2)]
    means = (gradients[::2] + gradients[1::2]) / 2
    expected = by_hand(before[2], means[:, 2], 1.0, rates, momenta)
    np.testing.assert_allclose(after[1::2, 2], expected, rtol=2e-5, atol=2e-6)


def test_in_a_graph():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the TensorFlow backend")
    layers, gradients = layers_of(), gradients_of(len(FACTORS))
    straight = run(make(), layers, gradients)
    layers, optimizer = layers_of(), make()
    variables = [layer.weight for layer in layers]
    optimizer.build(variables)
    step = tf.function(lambda values: optimizer.apply(tf.unstack(values), variables))
    for number, values in enumerate(gradients):
        step(tf.constant(values))
        for ours, expected in zip(variables, straight[number], strict=True):
            np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax: pip install jax")
def test_all_of_this_file_on_jax():
    if keras.backend.backend() == "jax":
        pytest.skip("is what runs now")
    root = pathlib.Path(__file__).parent.parent.parent
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=root,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and " passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"momentum": 1.0}, "momentum from 0 to below 1.*momentum=1.0"),
        ({"momentum": "high"}, "momentum=high"),
        ({"beta_2": -0.1}, "beta_2=-0.1"),
        ({"epsilon": -1e-8}, "epsilon=-1e-08"),
        ({"weight_decay": float("nan")}, "weight_decay to be at least 0.*weight_decay=nan"),
        ({"groups": {"*": -1.0}}, r"groups\['\*'\]=-1.0"),
        ({"groups": {"a": float("inf")}}, r"groups\['a'\]=inf"),
    ],
)
def test_values_out_of_range_are_named(changed, words):
    with pytest.raises(ValueError, match=f"Expected .*{words}"):
        GroupedAdamW(**changed)
