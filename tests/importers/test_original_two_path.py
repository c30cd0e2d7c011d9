"""The authors' two-path network: the same answers, and a test that would see a mix-up."""

import numpy as np
import pytest

from keras_audio.importers import load_keras2_h5
from keras_audio.models import create_model


@pytest.fixture(scope="module")
def original(shared):
    return shared / "reference" / "two_path_1b.h5"


@pytest.fixture(scope="module")
def loaded(original):
    """Our network with the weights of the original."""
    model = create_model("two_path_resnet", 10, input="features", channels=1)
    load_keras2_h5(model, original)
    return model


@pytest.fixture(scope="module")
def answered(shared):
    """What the original network was given, and its probabilities."""
    with np.load(shared / "reference" / "two_path_1b_io.npz") as io:
        return io["x"], io["y"]


def differences(model, x, expected) -> tuple[float, float]:
    """Of the probabilities and, since these are all near 0.1, of their logarithms."""
    output = model.predict_on_batch(x)
    return np.abs(output - expected).max(), np.abs(np.log(output) - np.log(expected)).max()


def test_answers_as_the_original_network(loaded, answered):
    assert max(differences(loaded, *answered)) < 1e-5


@pytest.mark.parametrize(
    "mixed_up",
    [
        pytest.param(lambda x: x[..., [0, 2, 1]], id="deltas and delta-deltas"),
        pytest.param(lambda x: np.roll(x, 64, axis=1), id="high and low"),
        pytest.param(lambda x: x[:, ::-1], id="upside down"),
        pytest.param(lambda x: x[:, :, ::-1], id="back to front"),
    ],
)
def test_answers_to_mixed_up_features_are_others(loaded, answered, mixed_up):
    x, expected = answered
    assert min(differences(loaded, mixed_up(x), expected)) > 1e-3


def test_answers_with_the_paths_swapped_are_others(loaded, answered):
    swapped = create_model("two_path_resnet", 10, input="features", channels=1)
    for layer in swapped.layers:
        name = layer.name
        if name.startswith("path"):
            name = f"path{3 - int(name[4])}{name[5:]}"
        layer.set_weights(loaded.get_layer(name).get_weights())
    assert min(differences(swapped, *answered)) > 1e-3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"channels": 2}, "batch_normalization_21/gamma has shape (3,), expected (6,)"),
        ({"learned_batch_norm": True}, "batch_normalization_23/gamma is missing"),
    ],
    ids=str,
)
def test_another_network_is_refused(original, arguments, named):
    arguments = {"channels": 1, **arguments}
    model = create_model("two_path_resnet", 10, input="features", **arguments)
    with pytest.raises(ValueError) as error:
        load_keras2_h5(model, original)
    assert named in str(error.value)
