"""Fixtures that every room's tests share."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# The harness of the networks, which the tests of other rooms use too.
sys.path.append(str(REPOSITORY / "tests" / "models"))


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of papers, reference networks and real sounds, beside the checkout."""
    folder = pathlib.Path(os.environ.get("KERAS_AUDIO_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the reference data: set KERAS_AUDIO_SHARED (no folder {folder})")
    return folder


@pytest.fixture(scope="session")
def esc10_files(shared) -> list[pathlib.Path]:
    """The 400 real clips of ESC-10."""
    return sorted((shared / "data" / "esc10").glob("*/*.ogg"))


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory) -> pathlib.Path:
    """A data folder with the toy sounds prepared at 8 kHz mono."""
    import data_prep

    folder = tmp_path_factory.mktemp("data")
    data_prep.prepare("toy_sounds", sample_rate=8000, data_dir=folder, progress=False)
    return folder


def pytest_collection_modifyitems(items):
    # Whole files go to a worker in this order: the longest first, or one worker ends alone.
    items.sort(key=lambda item: item.path.parent.name != "training")
