"""Run in a process of its own by test_contract: the contract and saved models on JAX.

Prints each network with the largest difference of its logits from those of TensorFlow.
"""

import pathlib
import sys

import harness
import keras
import numpy as np


def main(folder: str, *names: str) -> None:
    assert keras.backend.backend() == "jax"
    for name in names:
        harness.check_contract(name)
        model = keras.models.load_model(pathlib.Path(folder) / f"{name}.keras")
        with np.load(pathlib.Path(folder) / f"{name}.npz") as stored:
            difference = np.abs(harness.run(model, stored["x"]) - stored["logits"]).max()
            assert difference <= 1e-5 * max(1.0, np.abs(stored["logits"]).max()), name
        print(name, f"{difference:.1e}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
