"""Long clips of a batch, which TensorFlow takes one after the other on CPU."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio.layers import LogMelSpectrogram

# 2 MiB of frames, four times as many floats as samples, are three seconds here.
PROGRESSIVE = {"sample_rate": 44100, "n_fft": 1024, "hop_length": 256, "num_mels": 32}
LONG, SHORT = 132_000, 44_100


def noise(*shape):
    return np.random.default_rng(0).normal(0, 0.1, shape).astype("float32")


def graph_of(layer, *shape):
    spec = tf.TensorSpec(shape, tf.float32)
    return tf.function(lambda x: layer(x), input_signature=[spec]).get_concrete_function()


def loops(function) -> int:
    return sum(
        node.op in ("While", "StatelessWhile") for node in function.graph.as_graph_def().node
    )


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "settings", [{"top_db": 30.0}, {"scale": "log", "fft_dtype": "float64"}, {"center": False}]
)
def test_answers_are_those_of_each_clip_alone(batch, channels, settings):
    layer = LogMelSpectrogram(**PROGRESSIVE | settings)
    clips = noise(3, LONG, channels) * np.array([1.0, 0.01, 0.3], "float32").reshape(3, 1, 1)
    function = graph_of(layer, batch, LONG, channels)
    assert loops(function) == 1
    shape = layer.compute_output_shape((batch, LONG, channels))
    assert tuple(function.structured_outputs.shape) == shape
    alone = np.concatenate([layer(clip[np.newaxis]) for clip in clips])
    np.testing.assert_allclose(function(tf.constant(clips)), alone, rtol=0, atol=1e-4)
    np.testing.assert_allclose(layer(clips), alone, rtol=0, atol=1e-4)  # without a graph


@pytest.mark.parametrize(
    "shape",
    [(3, SHORT, 1), (1, LONG, 1), (3, None, 1), (None, SHORT, 1), (1, None, 1), (3, LONG, None)],
)
def test_short_clips_one_alone_and_unknown_lengths_are_taken_together(shape):
    assert loops(graph_of(LogMelSpectrogram(**PROGRESSIVE), *shape)) == 0


def test_frames_in_64_bits_and_further_channels_count():
    layer = LogMelSpectrogram(**PROGRESSIVE)
    assert loops(graph_of(layer, 3, LONG // 2, 1)) == 0
    assert loops(graph_of(layer, 3, LONG // 2, 2)) == 1
    wide = LogMelSpectrogram(**PROGRESSIVE, fft_dtype="float64")
    assert loops(graph_of(wide, 3, LONG // 2, 1)) == 1


def test_beside_a_gpu_all_are_taken_together(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "gpu:0"])
    assert loops(graph_of(LogMelSpectrogram(**PROGRESSIVE), 3, LONG, 1)) == 0


def test_gradients_pass():
    layer = LogMelSpectrogram(**PROGRESSIVE)
    clips = tf.constant(noise(2, LONG, 1))

    @tf.function
    def gradient(take):
        with tf.GradientTape() as tape:
            tape.watch(clips)
            loudness = tf.reduce_sum(take(clips))
        return tape.gradient(loudness, clips)

    expected = gradient(layer._spectrograms)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(gradient(layer), expected, rtol=0, atol=1e-5 * scale)
