"""How each paper trains: frozen dataclasses, one file a paper."""

from keras_audio.recipes.binaural_waveforms import BinauralWaveforms
from keras_audio.recipes.erann import ERANN
from keras_audio.recipes.recipe import (
    Recipe,
    describe_recipes,
    list_recipes,
    recipe_class,
    recipe_differences,
    recipe_from_dict,
    with_settings,
)
from keras_audio.recipes.residual_blocks import ResidualBlocks
from keras_audio.recipes.two_path import TwoPath

__all__ = [
    "ERANN",
    "BinauralWaveforms",
    "Recipe",
    "ResidualBlocks",
    "TwoPath",
    "describe_recipes",
    "list_recipes",
    "recipe_class",
    "recipe_differences",
    "recipe_from_dict",
    "with_settings",
]
