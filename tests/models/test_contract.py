"""The harness on every registered network, on TensorFlow and on JAX."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import harness
import keras
import numpy as np
import pytest
import soundfile
import soxr

from keras_audio.layers import PadOrCrop, WaveformNormalization
from keras_audio.models import create_model, list_models, model_info

# One of each family always; the others, which share its code, with the slow tests.
REPRESENTATIVES = (
    "m3",
    "m34_res_rb4",
    "spectrogram_res_rb6",
    "erann_3_1",
    "two_path_resnet",
    "binaural_a",
    "binaural_c",
    "resnet34",
)
# Of ERANN the lightest, which no table lists: the listed ones are the same with more filters.
NETWORKS = [
    *(name for name in list_models() if not name.startswith("erann_")),
    *(f"erann_{s_m}_1" for s_m in range(4)),
]
OTHERS = [name for name in NETWORKS if name not in REPRESENTATIVES]
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_contract_of_one_of_each_family(name):
    harness.check_contract(name, export=True)


@pytest.mark.parametrize("name", OTHERS)
def test_names_shapes_and_lengths(name):
    arguments = harness.LIGHT.get(name, {})
    model = create_model(name, harness.CLASSES, **arguments)
    harness.check_names_and_shapes(model, name, **arguments)
    assert harness.run(model, harness.waveforms(name)).shape == (2, harness.CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_contract(name):
    harness.check_contract(name, export=True)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_plays_silence_noise_a_tone_and_a_real_clip(name, esc10_files):
    info = model_info(name)
    samples, rate = soundfile.read(esc10_files[0], dtype="float32", always_2d=True)
    clip = np.repeat(soxr.resample(samples, rate, info.sample_rate), info.channels, axis=1)
    steps = [WaveformNormalization("standard"), PadOrCrop(info.sample_rate)]
    for clip_steps in ([], steps):
        arguments = harness.LIGHT.get(name, {})
        model = create_model(name, 10, clip_steps=clip_steps, **arguments)
        harness.check_model(
            lambda x, model=model: harness.run(model, x), info.sample_rate, info.channels, clip
        )


needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs jax: pip install jax"
)


def _on_jax(*arguments: str) -> str:
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(REPOSITORY),
    }
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@needs_jax
def test_no_room_of_layers_and_models_imports_tensorflow():
    _on_jax(
        "-c",
        "import sys, keras, keras_audio.layers, keras_audio.models, keras_audio.importers\n"
        "assert keras.backend.backend() == 'jax'\n"
        "keras_audio.models.create_model('spectrogram_res_rb1', 2)\n"
        "assert 'tensorflow' not in sys.modules",
    )


@needs_jax
@pytest.mark.slow
def test_contract_on_jax_and_the_same_logits(tmp_path):
    for name in NETWORKS:
        arguments = harness.LIGHT.get(name, {})
        model = create_model(name, harness.CLASSES, classifier_activation=None, **arguments)
        harness.randomize(model)
        x = harness.waveforms(name)
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", x=x, logits=harness.run(model, x))
        keras.backend.clear_session()
    said = _on_jax("tests/models/on_jax.py", str(tmp_path), *NETWORKS)
    assert said.split()[0::2] == NETWORKS, said
