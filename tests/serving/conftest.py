"""The small network and its export, made once."""

import numpy as np
import pytest
from small_model import LABELS, RATE, build

from keras_audio.serving import export_saved_model


@pytest.fixture(scope="session")
def model():
    return build()


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "small model"
    return export_saved_model(model, path, labels=LABELS, sample_rate=RATE)


@pytest.fixture
def random():
    return np.random.default_rng(0)
