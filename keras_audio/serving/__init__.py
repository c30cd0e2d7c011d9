"""Serving: export a model, load what was exported or trained, name what is in sound files.

The names are imported when first used: finding files and printing need no TensorFlow.
"""

import importlib

_LAZY = {
    "Classifier": "classifier",
    "FilePrediction": "predict",
    "UnsupportedByLiteRT": "litert",
    "export_litert": "litert",
    "export_saved_model": "export",
    "find_audio_files": "predict",
    "load_classifier": "classifier",
    "predict_files": "predict",
    "to_json": "predict",
    "top_classes": "predict",
    "write_csv": "predict",
}

__all__ = sorted(_LAZY)


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
