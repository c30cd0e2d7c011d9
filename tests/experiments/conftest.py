"""The experiments are scripts: what they share lies beside them, and is found there."""

import importlib.util
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
sys.path.insert(0, str(FOLDER))


@pytest.fixture(scope="session")
def load_experiment():
    """Gives the module of a script by the name of its file."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"experiment_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def toy_data_44100(tmp_path_factory):
    """A data folder with the toy sounds prepared at 44.1 kHz mono."""
    import data_prep

    folder = tmp_path_factory.mktemp("data_44100")
    data_prep.prepare("toy_sounds", sample_rate=44100, data_dir=folder, progress=False)
    return folder


@pytest.fixture
def no_weights(monkeypatch):
    """Counting the parameters of a network needs more of a model.keras than there is."""
    import binaural_waveforms_cells

    def count(path):
        return 24_100 if path.parent.name.startswith("compressed") else 30_272

    monkeypatch.setattr(binaural_waveforms_cells, "parameters", count)
