"""`keras-audio import`: a run folder out of a checkpoint of an original code base."""

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

from keras_audio.cli_recipe import recipe_of_model, recipe_with
from keras_audio.cli_types import add_data_dir, add_dataset
from keras_audio.recipes import Recipe, list_recipes

if TYPE_CHECKING:
    from keras_audio.importers import Original

SUMMARY = "Make a run of an original checkpoint"
EXAMPLES = """\
  keras-audio import m34_res.h5 --as m34_res --labels labels.txt --dataset esc10
  keras-audio evaluate runs/residual_blocks/m34_res-imported
  keras-audio import two_path_1b.h5 --as two_path_resnet --labels scenes.txt --arrays-only
  keras-audio import m5.h5 --as m5 --labels labels.txt --set normalization=max_abs --to runs/m5
  keras-audio import binaural_c.pt --as binaural_c --labels scenes.txt --to runs/binaural_c
  keras-audio train --init-from runs/binaural_c --dataset audio_folder --source my_sounds
"""
DESCRIPTION = """\
Make a run folder of a checkpoint of the original code: Keras 2 HDF5 files of m3, m5, m11, m18,
m34_res and two_path_resnet; PyTorch state dicts of binaural_a to binaural_d and of ResNets in
torchvision's layout. evaluate, predict, export, compress and --init-from take it like any run.

The file holds weights alone. How sounds reach the network is what the recipe says of it, or --set:
whether they are normalised, their length, rate and channels. Code in a file is never run: a file
that carries some is refused."""

# The tasks that the two-path network was made for, by channels and classes. They differ in the
# sample rate, which no file tells.
_SCENES = {
    (1, 10): "tau_urban_2019/1b",
    (1, 11): "tau_urban_2019/1c",
}


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    # What `recipe_with` asks for and this verb has not.
    verb.set_defaults(rename=None, seed=None)
    add_original(verb)
    verb.add_argument(
        "--labels", required=True, metavar="FILE", help="the classes, one a line, in their order"
    )
    add_dataset(verb)
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="vary the recipe (its fields: keras-audio train --help)",
    )
    verb.add_argument(
        "--to",
        metavar="RUN",
        help="the new run folder (default: runs/RECIPE/NAME-imported, NAME that of the file)",
    )
    verb.add_argument(
        "--force",
        action="store_true",
        help="replace an earlier import there, unless reports, exports or anything else was made "
        "in its folder since",
    )
    add_data_dir(verb)


def add_original(verb: argparse.ArgumentParser) -> None:
    """Add the file and what it is of, which verbs on original checkpoints share."""
    verb.add_argument("file", help="the checkpoint: .h5 .hdf5 .keras2, or .pt .pth .safetensors")
    verb.add_argument(
        "--as",
        required=True,
        dest="model",
        metavar="MODEL",
        help="the network in it, as `keras-audio models` lists it",
    )
    verb.add_argument(
        "--arrays-only",
        action="store_true",
        help="take an HDF5 file with Lambda layers, as `model.save` of the original code writes: "
        "the arrays are read, the code is not even looked at",
    )


def import_(options: argparse.Namespace) -> None:
    """Make the run folder that the options ask for."""
    from keras_audio.importers import read_original
    from keras_audio.training.importing import check_labels, import_run, read_labels

    original = read_original(options.file, options.model, arrays_only=options.arrays_only)
    labels = read_labels(options.labels)
    check_labels(labels, original)
    recipe = _recipe_of(options, original)
    to = options.to or _default_path(recipe, options.file)
    run = import_run(
        options.file,
        recipe,
        labels,
        to=to,
        data_dir=options.data_dir,
        arrays_only=options.arrays_only,
        force=options.force,
    )
    known = "its clips known" if run.split else "its clips not known: its classes are enough"
    print(
        f"{original.model} of {original.classes} classes, for waveforms at {recipe.sample_rate} Hz "
        f"of {recipe.channels} channel(s)"
    )
    print(f"to be measured on {recipe.dataset}, fold {recipe.fold} ({known})")
    print(f"imported: {run.path}")
    print(f"next: keras-audio predict {run.path} FILE")


def _recipe_of(options: argparse.Namespace, original: "Original") -> Recipe:
    """The recipe of the network, with what the file settles and what the options say."""
    from keras_audio.training.importing import fields_of_original

    cls, fields = recipe_of_model(original.model, list_recipes())
    fields |= fields_of_original(original)
    fields |= _dataset_of(options, original)
    recipe = recipe_with(options, cls, fields, fine_tune=False)
    if recipe.model_name != original.model:
        raise ValueError(
            f"Expected settings of {original.model}, the network of --as. "
            f"Received: those of {recipe.model_name}"
        )
    return recipe


def _dataset_of(options: argparse.Namespace, original: "Original") -> dict[str, Any]:
    """The data set that a two-path network was made for, where the options name none."""
    if options.dataset or any(setting.startswith("dataset=") for setting in options.set):
        return {}
    scenes = _SCENES.get((original.channels, original.classes))
    return {"dataset": scenes} if scenes and original.model == "two_path_resnet" else {}


def _default_path(recipe: Recipe, file: str) -> pathlib.Path:
    return pathlib.Path("runs", recipe.name, f"{pathlib.Path(file).stem}-imported")
