"""Fixtures that every room's tests share."""

import os
import pathlib
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# What the tests of several rooms use: the harness of the networks, broken and untrained runs, a
# server that misbehaves, original networks.
sys.path += [
    str(REPOSITORY / "tests" / room)
    for room in ("models", "training", "evaluation", "data_prep", "importers")
]


def draw_alike(request):
    """What a test draws without a seed of its own is the same in every run, and its own.

    A weight is drawn as exactly zero once in eight million, which changes a count.
    """
    keras.utils.set_random_seed(zlib.crc32(request.node.nodeid.encode()))


drawn_alike_in_a_file = pytest.fixture(draw_alike, scope="module", autouse=True)
drawn_alike_in_a_test = pytest.fixture(draw_alike, autouse=True)


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


# Recipes of its own would be listed among the real ones.
collect_ignore = ["training/joint_batches.py"]

# Whole files go to a worker, and in this order: the longest first, or one worker ends alone.
LONGEST = (
    *("test_iterations", "test_train", "test_contract", "test_compression", "test_cli"),
    *("test_fine_tuning", "test_training_stages", "test_range_test_run", "test_cli_compress"),
    *("test_cli_import", "test_hostile_files", "test_importing"),
    *("test_export", "test_free_length", "test_stages", "test_ensemble", "test_augment_in_graphs"),
    *(
        "test_held_zeros",
        "test_grid_of_runs",
        "test_resnet",
        "test_litert",
        "test_predict",
        "test_evaluate",
    ),
)


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))
