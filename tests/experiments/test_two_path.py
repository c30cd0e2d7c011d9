"""The experiment on the two-path network: its cells, its equal parameters, its commands."""

import dataclasses
import doctest
import shlex

import cells
import numpy as np
import pytest
import two_path_tables
import two_path_variants
from two_path_variants import ABLATIONS, Variant, at_equal_parameters, build_recipe, variant_of

from keras_audio.cli_parser import build_parser
from keras_audio.recipes import TwoPath, recipe_class, with_settings


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("two_path")


def all_cells(experiment, *arguments):
    return list(experiment.grid(experiment.parse(arguments)))


def test_the_cells_are_those_of_table_1(experiment):
    found = all_cells(experiment)
    tasks = [f"tau_urban_2019/{task}" for task in ("1a", "1b", "1c")]
    pairs = [(cell.recipe.dataset, cell.recipe.deltas) for cell in found]
    assert pairs == [(task, deltas) for task in tasks for deltas in (True, False)]
    assert str(found[3].path) == "runs/two_path/no_deltas/tau_urban_2019_1b-fold1-seed0"
    for cell in found:
        usual = TwoPath.for_dataset(cell.recipe.dataset)
        assert cell.recipe == dataclasses.replace(usual, deltas=cell.recipe.deltas)
        assert (cell.recipe.num_filters, cell.recipe.epochs, cell.recipe.fold) == (24, 510, 1)
    (one,) = all_cells(experiment, "--tasks", "1c", "--variants", "two_paths")
    assert one.recipe == TwoPath.for_dataset("tau_urban_2019/1c")
    toys = all_cells(experiment, "--dataset", "toy_scenes", "--seeds", "0,1", "--tasks", "1a,1b")
    assert len(toys) == len({cell.path for cell in toys}) == 2 * 2 * 2
    assert {cell.recipe.dataset for cell in toys} == {"toy_scenes/1a", "toy_scenes/1b"}


@pytest.mark.parametrize(("dataset", "folds"), [("esc10", 5), ("urbansound8k", 10), ("mine", 1)])
def test_other_data_sets_have_their_own_folds(experiment, dataset, folds):
    found = all_cells(experiment, "--dataset", dataset, "--variants", "two_paths")
    assert [cell.recipe.fold for cell in found] == list(range(1, folds + 1))
    assert {(cell.recipe.sample_rate, cell.recipe.channels) for cell in found} == {(44100, 1)}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_one_argument(experiment, name):
    (cell,) = all_cells(experiment, "--tasks", "1a", "--variants", name)
    usual, other = TwoPath().to_dict(), cell.recipe.to_dict()
    assert len([field for field in usual if usual[field] != other[field]]) == 1
    assert variant_of(cell.recipe) == Variant(name, 24) and cell.path.parent.name == name


def test_variants_and_settings_have_folders_of_their_own(experiment):
    arguments = ["--dataset", "esc10", "--folds", "1", "--variants"]
    arguments += ["two_paths,learned_pooling+no_deltas", "--set", "num_filters=8"]
    first, joined = all_cells(experiment, *arguments, "--set", "epochs=62")
    assert first.path.parent.name == "two_paths-num_filters=8-epochs=62"
    assert joined.path.parent.name == "no_deltas+learned_pooling-num_filters=8-epochs=62"
    assert variant_of(joined.recipe).title == "no deltas, learned pooling"
    # More than two paths are not one ablation of the report.
    four = variant_of(build_recipe("two_paths", "esc10", ["paths=4"]))
    assert four == Variant("two_paths", 24, ("paths=4",))
    # What --set makes one variant of two is run once.
    assert len(all_cells(experiment, *arguments, "--set", "paths=1")) == 2
    again = ["--dataset", "esc10", "--folds", "1", "--variants", "two_paths,one_path"]
    assert len(all_cells(experiment, *again, "--set", "paths=1")) == 1


def test_one_path_is_as_wide_as_two_have_parameters(experiment):
    arguments = ["--dataset", "esc10", "--folds", "1", "--set", "num_filters=8"]
    arguments += ["--variants", "two_paths,one_path,no_deltas"]
    two, one, no_deltas = all_cells(experiment, *arguments, "--equal-parameters")
    # 2 * 8 ** 2 = 128: 11 ** 2 is nearer than 12 ** 2.
    assert one.path.parent.name == "one_path-num_filters=11"
    plain = all_cells(experiment, *arguments)
    assert [two, no_deltas] == plain[::2] and plain[1].recipe.num_filters == 8
    assert one.recipe == dataclasses.replace(plain[1].recipe, num_filters=11)


def test_equal_parameters_are_of_the_networks_as_trained(experiment, monkeypatch):
    monkeypatch.setattr(cells, "prepared_classes", lambda recipe, data_dir: 500)
    arguments = ["--dataset", "mine", "--variants", "one_path+no_deltas", "--equal-parameters"]
    (cell,) = all_cells(experiment, *arguments, "--set", "num_filters=2")
    two = dataclasses.replace(cell.recipe, paths=2, num_filters=2)
    less, nearest, more = (
        dataclasses.replace(cell.recipe, num_filters=cell.recipe.num_filters + n)
        for n in (-1, 0, 1)
    )
    wanted, *counts = (two_path_variants.parameters(r, 500) for r in (two, less, nearest, more))
    assert np.argmin(np.abs(np.subtract(counts, wanted))) == 1
    assert at_equal_parameters(dataclasses.replace(cell.recipe, num_filters=2), 500) == cell.recipe


@pytest.mark.parametrize(
    "arguments",
    ["--tasks 2", "--tasks 1d", "--variants three_paths", "--variants one_path+", "--folds 0",
     "--seeds x"],
)  # fmt: skip
def test_wrong_options_are_refused(experiment, arguments, capsys):
    with pytest.raises(SystemExit):
        experiment.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["tau_urban_2019", "toy_scenes", "esc10", "mine"])
def test_the_command_trains_the_recipe(experiment, dataset):
    arguments = ["--dataset", dataset, "--set", "keep=best", "--set", "crop_frames=none"]
    for cell in all_cells(experiment, *arguments, "--folds", "1"):
        options = build_parser().parse_args(cells.train_command(cell.recipe))
        for base in (None, cell.recipe.dataset):
            usual = recipe_class("two_path").for_dataset(base)
            assert with_settings(usual, options.set) == cell.recipe
        assert with_settings(TwoPath(), options.set) == cell.recipe


def test_the_commands_make_the_rows(experiment):
    esc = ["--dataset", "esc10", "--set", "num_filters=8", "--set", "epochs=62"]
    both = [*esc, "--variants", "one_path,two_paths", "--equal-parameters"]
    found = all_cells(experiment, *both, "--folds", "1-3", "--seeds", "0,1")
    found += all_cells(experiment, *esc, "--variants", "one_path", "--folds", "1")
    found += all_cells(experiment, *esc[:2], "--variants", "no_deltas", "--folds", "5")
    _check_commands(experiment, found, "esc10", 3)
    scenes = ["--dataset", "toy_scenes"]
    found = all_cells(experiment, *scenes)
    found += all_cells(experiment, *scenes, "--tasks", "1b", "--variants", "learned_batch_norm")
    lines = _check_commands(experiment, found, "toy_scenes", 2)
    assert lines[0] == "keras-audio prepare toy_scenes/1a --sample-rate 48000 --channels 2"
    assert lines[1] == "keras-audio prepare toy_scenes/1b --sample-rate 44100"


def _check_commands(experiment, found, name, number):
    rows = [
        {
            "dataset": cell.recipe.dataset,
            "classes": 10,
            "command": shlex.join(["keras-audio", *cells.train_command(cell.recipe)]),
        }
        for cell in found
    ]
    lines = two_path_tables.commands(rows, name)
    scripts = [line for line in lines if not line.startswith("keras-audio prepare")]
    assert len(scripts) == number
    made = set()
    for line in scripts:
        python, script, *arguments = shlex.split(line)
        assert (python, script) == ("python", "experiments/two_path.py")
        made |= {cell.path for cell in all_cells(experiment, *arguments)}
    assert made == {cell.path for cell in found}
    return lines


def test_the_examples_of_the_variants():
    assert doctest.testmod(two_path_variants).failed == 0
