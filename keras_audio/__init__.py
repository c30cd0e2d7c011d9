"""Audio classification networks of five papers, from sound files to a served model.

The names below are imported when first used, so that `import keras_audio` (and with it the
command line's `--help`) does not wait for TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_LAZY = {
    "create_model": "keras_audio.models",
    "list_models": "keras_audio.models",
    "model_info": "keras_audio.models",
    "read_audio": "keras_audio.audio",
}

__all__ = ["__version__", *sorted(_LAZY)]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'keras_audio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
