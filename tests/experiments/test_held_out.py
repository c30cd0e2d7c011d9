"""Runs that other clips than those held out validate: their last round is no score of the test."""

import types

import cells
import erann_tables
import erann_variants
import pytest
import two_path_variants
from held_out import last_score
from kinds import KINDS

from keras_audio.files import write_json, write_text
from keras_audio.recipes import ERANN, ResidualBlocks, TwoPath, with_settings
from keras_audio.training.run_folder import RunFolder

CLASSES = {
    "per_class": [{"label": "dog", "recall": 0.7, "precision": 0.7, "support": 10}],
    "confusion_matrix": [[10]],
}
CHOSEN = "so it is chosen on the clips it is measured on"
NOTHING = "nothing is chosen on the clips it is measured on"


def test_the_last_score_is_of_the_clips_held_out():
    def run(validation):
        history = {"val_accuracy": [0.5, 0.75]}
        recipe = TwoPath(validation=validation)
        return types.SimpleNamespace(recipe=recipe, history=lambda: history)

    assert last_score(run("held_out"), "val_accuracy") == "0.7500"
    assert last_score(run("next"), "val_accuracy") == ""


@pytest.fixture
def no_networks(monkeypatch):
    """Their sizes take seconds, and need more of a run than there is."""
    monkeypatch.setattr(erann_variants, "size", lambda *_: (1, 1))
    monkeypatch.setattr(erann_tables, "size", lambda *_: (1, 1))
    monkeypatch.setattr(two_path_variants, "parameters", lambda *_: 1)
    network = types.SimpleNamespace(count_params=lambda: 1, trainable_weights=[])
    monkeypatch.setattr(RunFolder, "model", lambda *_: network)


def write_run(path, recipe):
    """The folder of a run on ESC-10 with two rounds, but for the weights."""
    packages = {"tensorflow": "2", "keras": "3"}
    machine = {"processor": "abacus", "cores": 2, "memory_gib": 8, "devices": ["CPU"]}
    others = {"packages": packages, "backend": "tensorflow", "commit": "abc"}
    write_json(path / "environment.json", machine | others)
    write_json(path / "recipe.json", recipe.to_dict())
    write_text(path / "labels.txt", "dog\nrain")
    done = {"seconds": 60, "epochs": 2, "best_epoch": 1, "kept": "last"}
    write_json(path / "done.json", done | {"best_iteration": 100, "iterations": 200})
    write_json(path / "metrics.json", {"accuracy": 0.7, "mean_average_precision": 0.8} | CLASSES)
    lines = ["epoch,accuracy,val_accuracy,val_mean_average_precision", "0,0.4,0.5,0.5"]
    write_text(path / "history.csv", "\n".join([*lines, "1,0.6,0.75,0.75"]) + "\n")
    return RunFolder(path)


def rows_of(folder, cls, read_run):
    """A row of the clips held out, and one of which the fold after them validates."""
    usual = cls.for_dataset("esc10")
    recipes = usual, with_settings(usual, ["validation=next", "fold=2"])
    rows = (read_run(write_run(folder / str(recipe.fold), recipe)) for recipe in recipes)
    return [row | KINDS[cls.name].derived(row) for row in rows]


def test_the_pages_say_what_a_run_was_chosen_by(load_experiment, tmp_path, no_networks):
    residual = load_experiment("residual_blocks")
    pages = {
        ResidualBlocks: (residual.read_run, lambda rows: residual.markdown(rows, "esc10")),
        ERANN: (erann_variants.read_run, lambda rows: erann_tables.markdown(rows, "esc10")),
        TwoPath: (two_path_variants.read_run, None),
    }
    for cls, (read_run, page) in pages.items():
        rows = rows_of(tmp_path / cls.name, cls, read_run)
        assert [row["last_epoch_accuracy"] for row in rows] == ["0.7500", ""]
        assert cells.recipe_of(rows[1]).validation == "next"
        if page:
            first, second = page(rows[:1]), page(rows[1:])
            assert CHOSEN in first and NOTHING not in first
            assert NOTHING in second and "`validation=next`" in second and CHOSEN not in second
            both = page(rows)
            assert both.index(CHOSEN) < both.index("of which no last") < both.index(NOTHING)
