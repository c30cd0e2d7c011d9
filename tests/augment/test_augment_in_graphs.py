"""The augmentations in graphs of unknown shapes, on two devices, and on JAX."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from test_mixing import LAYERS, inputs_of, numpy, targets_of
from test_waveform_augmentations import LAYERS as WAVEFORM_LAYERS
from test_waveform_augmentations import clips

from keras_audio.augment import CutMix, SpecAugment

MIXES = {**LAYERS, "cutmix": lambda: CutMix(seed=3), "cutmix 0.2": lambda: CutMix(0.2, seed=3)}
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def on_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the TensorFlow backend")
    import tensorflow

    return tensorflow


def run_script(*arguments: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("name", MIXES)
def test_mixes_in_a_graph_of_unknown_shape(name):
    tf = on_tensorflow()
    eager, layer = MIXES[name](), MIXES[name]()
    rank = inputs_of(name).ndim
    shape = [None, 24, None, None] if rank == 4 else [None] * 3
    graph = tf.function(
        layer.__call__, input_signature=[tf.TensorSpec(shape), tf.TensorSpec([None, None])]
    )
    for batch, channels in ((5, 1), (1, 2), (2, 1)):
        x, y = inputs_of(name, batch=batch, channels=channels), targets_of(batch)
        for ours, theirs in zip(graph(x, y), eager(x, y), strict=True):
            np.testing.assert_allclose(numpy(ours), numpy(theirs), atol=1e-4)
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("fill", ["mean", "floor"])
def test_masks_in_a_graph_of_unknown_shape(fill):
    tf = on_tensorflow()
    eager, layer = (SpecAugment(20, fill=fill, seed=1) for _ in range(2))
    graph = tf.function(
        lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None] * 4)]
    )
    for shape in ((4, 16, 40, 1), (1, 3, 5, 2)):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        expected = numpy(eager(x, training=True))
        np.testing.assert_allclose(numpy(graph(x)), expected, atol=1e-5)
        assert np.abs(expected - x).max() > 0


@pytest.mark.parametrize("name", WAVEFORM_LAYERS)
def test_waveforms_in_a_graph_of_unknown_shape(name):
    tf = on_tensorflow()
    eager, layer = WAVEFORM_LAYERS[name](), WAVEFORM_LAYERS[name]()
    graph = tf.function(
        lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None] * 3)]
    )
    for shape in ((4, 1500, 2), (1, 5000, 1), (3, 2000, 3)):
        x = clips(*shape)
        expected = numpy(eager(x, training=True))
        np.testing.assert_allclose(numpy(graph(x)), expected, atol=1e-5)
        assert np.abs(expected - x).max() > 0
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", WAVEFORM_LAYERS)
def test_a_network_behind_knows_the_channels_and_what_else_is_known(name):
    tf = on_tensorflow()
    layer = WAVEFORM_LAYERS[name]()
    for shape in ([None, None, 2], [None, 700, 2], [5, 700, 1]):
        graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(
            tf.TensorSpec(shape)
        )
        assert graph.outputs[0].shape.as_list() == shape


MIRRORED = """
import sys
import numpy as np
import tensorflow as tf
sys.path.insert(0, "tests/augment")
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from test_mixing import inputs_of, numpy, targets_of
from test_augment_in_graphs import MIXES, WAVEFORM_LAYERS
from keras_audio.augment import SpecAugment

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name, build in MIXES.items():
    x, y = inputs_of(name, batch=6), targets_of(6)

    def build_all():
        spectrograms = [lambda: SpecAugment(20, seed=2)]
        builders = spectrograms if x.ndim == 4 else WAVEFORM_LAYERS.values()
        return build(), [builder() for builder in builders]

    def apply_all(layers, x, y):
        x, y = layers[0](x, y)
        for layer in layers[1]:
            x = layer(x, training=True)
        return x, y

    def variables(layers):
        return [variable for layer in (layers[0], *layers[1]) for variable in layer.variables]

    with strategy.scope():
        layers = build_all()
    step = tf.function(lambda x, y: strategy.run(lambda x, y: apply_all(layers, x, y), (x, y)))
    data = tf.data.Dataset.from_tensors((x, y)).repeat(2).unbatch().batch(6)
    alone = build_all()
    for x2, y2 in strategy.experimental_distribute_dataset(data):
        mixed, targets = step(x2, y2)
        parts = [strategy.experimental_local_results(value) for value in (mixed, targets)]
        # Each device draws as one alone would, for its half.
        state = [variable.numpy() for variable in variables(alone)]
        for half, *outputs in zip((slice(0, 3), slice(3, 6)), *parts):
            for variable, value in zip(variables(alone), state):
                variable.assign(value)
            for output, value in zip(outputs, apply_all(alone, x[half], y[half])):
                np.testing.assert_allclose(output.numpy(), numpy(value), atol=1e-4)
    for ours, theirs in zip(variables(layers), variables(alone)):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    print("ok", name)
"""


def test_on_two_devices():
    on_tensorflow()
    assert run_script("-c", MIRRORED).count("ok") == len(MIXES)


needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs jax: pip install jax"
)


JAX = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


@needs_jax
def test_no_augmentation_imports_tensorflow():
    run_script(
        "-c",
        "import sys, keras, numpy as np\n"
        "from keras_audio.augment import *\n"
        "assert keras.backend.backend() == 'jax'\n"
        "BetweenClassMixup(8000)(np.ones((2, 900, 1)), np.eye(2))\n"
        "CutMix()(np.ones((2, 900, 1)), np.eye(2))\n"
        "SpecAugment(3)(np.ones((2, 4, 5, 1)), training=True)\n"
        "for layer in TemporalMask(8000), RandomFIRFilter(8000), WhiteNoise():\n"
        "    layer(np.ones((2, 900, 1)), training=True)\n"
        "assert 'tensorflow' not in sys.modules",
        **JAX,
    )


@needs_jax
@pytest.mark.slow
def test_everything_on_jax():
    """The tests of this folder again."""
    if keras.backend.backend() == "jax":
        pytest.skip("is what runs now")
    said = run_script("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/augment", **JAX)
    assert " passed" in said


@pytest.mark.parametrize("name", MIXES)
def test_compiled_by_jax(name):
    if keras.backend.backend() != "jax":
        pytest.skip("needs the JAX backend")
    import jax

    x, y = inputs_of(name), targets_of()
    layer, eager = MIXES[name](), MIXES[name]()
    layer.build(x.shape)
    step = jax.jit(lambda state, x, y: layer.stateless_call([], state, x, y))
    state = [variable.value for variable in layer.non_trainable_variables]
    for _ in range(2):
        outputs, state = step(state, x, y)
        for ours, theirs in zip(outputs, eager(x, y), strict=True):
            np.testing.assert_allclose(numpy(ours), numpy(theirs), atol=1e-3)


@pytest.mark.parametrize("name", WAVEFORM_LAYERS)
def test_waveforms_compiled_by_jax(name):
    if keras.backend.backend() != "jax":
        pytest.skip("needs the JAX backend")
    import jax

    x, layer, eager = clips(), WAVEFORM_LAYERS[name](), WAVEFORM_LAYERS[name]()
    layer.build(x.shape)
    step = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True))
    state = [variable.value for variable in layer.non_trainable_variables]
    for _ in range(2):
        output, state = step(state, x)
        np.testing.assert_allclose(numpy(output), numpy(eager(x, training=True)), atol=1e-5)
