"""How each paper trains: frozen dataclasses, one file a paper."""

from keras_audio.recipes.binaural_waveforms import BinauralWaveforms
from keras_audio.recipes.erann import ERANN
from keras_audio.recipes.progressive_resizing import ProgressiveResizing
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
from keras_audio.recipes.stages import Stage, parse_stages
from keras_audio.recipes.two_path import TwoPath

__all__ = [
    "ERANN",
    "BinauralWaveforms",
    "ProgressiveResizing",
    "Recipe",
    "ResidualBlocks",
    "Stage",
    "TwoPath",
    "describe_recipes",
    "list_recipes",
    "parse_stages",
    "recipe_class",
    "recipe_differences",
    "recipe_from_dict",
    "with_settings",
]
