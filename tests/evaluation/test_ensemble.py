"""Means of runs and snapshots, against the predictions that each run wrote by itself."""

import shutil

import keras
import numpy as np
import pytest
from untrained_runs import untrained, write_scenes

from keras_audio.data import open_records
from keras_audio.evaluation import (
    classification_metrics,
    ensemble_folder,
    evaluate_ensemble,
    evaluate_run,
    read_predictions,
)
from keras_audio.files import read_json, write_json, write_text
from keras_audio.recipes import ResidualBlocks, TwoPath
from keras_audio.training.run_folder import RunFolder

DATASET = "tau_urban_2019/1c"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), [8000, 4000])


@pytest.fixture(scope="module")
def alone(scenes, tmp_path_factory):
    """Runs of two recipes at two sample rates, measured by themselves, and their probabilities."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = {
        "two_path": TwoPath.for_dataset(
            DATASET,
            sample_rate=8000,
            num_filters=4,
            duration=2.0,
            crop_frames=None,
            epochs=6,
            snapshots=True,
        ),
        "m3": ResidualBlocks(dataset=DATASET, fold=1, network="m3", duration=0.5, sample_rate=4000),
    }
    found = {}
    for name, recipe in recipes.items():
        records = open_records(DATASET, sample_rate=recipe.sample_rate, data_dir=scenes)
        run = untrained(recipe, records, folder / name)
        if name == "two_path":
            finish(run)
        metrics = evaluate_run(run, data_dir=scenes, progress=False)
        found[name] = run, metrics, probabilities_of(run)
    return found


def finish(run):
    """What training of six epochs, three steps each, would add to a run."""
    rounds = range(1, 7)
    RunFolder(run).write_history(
        [
            {"epoch": n, "iteration": 3 * n, "learning_rate": 1, "val_accuracy": 1 / n}
            for n in rounds
        ]
    )
    done = {"epochs": 6, "iterations": 18, "best_epoch": 1, "kept": "last", "steps_per_pass": 3}
    write_json(run / "done.json", done)


def probabilities_of(folder):
    """What predictions.csv holds, by clip: (classes,) float64 each."""
    rows, labels = read_predictions(folder / "predictions.csv")
    return {row["clip_id"]: np.array([row[f"p_{label}"] for label in labels]) for row in rows}


@pytest.fixture
def members(alone, tmp_path):
    """Copies of the runs that a test may write to."""
    return [shutil.copytree(run, tmp_path / name) for name, (run, _, _) in alone.items()]


def snapshots_of(run, count):
    """Snapshots of weights that are a little different."""
    (run / "snapshots").mkdir()
    model = keras.models.load_model(run / "model.keras", compile=False)
    found = []
    for number in range(1, count + 1):
        found.append(run / "snapshots" / f"epoch-{number:04}.keras")
        model.set_weights([0.99 * weight for weight in model.get_weights()])
        model.save(found[-1])
    return found


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_the_mean_of_two_recipes(alone, members, scenes):
    before = [contents(run) for run in members]
    options = {"data_dir": scenes, "progress": False, "batch_size": 5}
    # Not the weight of the one that happens to be the first.
    for order in (members, members[::-1]):
        with pytest.raises(ValueError, match="recipes differ in it"):
            evaluate_ensemble(order, **options)
    metrics = evaluate_ensemble(members, **options, unknown_weight=5)
    folder = members[0] / "ensemble"
    assert folder == ensemble_folder(members)
    assert sorted(path.name for path in folder.iterdir()) == [
        *["metrics.json", "predictions.csv", "report.html"]
    ]
    assert read_json(folder / "metrics.json") == metrics

    written = probabilities_of(folder)
    for clip, mean in written.items():
        expected = np.mean([own[clip] for _, _, own in alone.values()], axis=0)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-6)
    rows, labels = read_predictions(folder / "predictions.csv")
    targets = [labels.index(row["target"]) for row in rows]

    def measured(probabilities):
        return classification_metrics(
            targets,
            np.array([probabilities[row["clip_id"]] for row in rows]),
            labels,
            unknown_label="unknown",
            unknown_weight=5.0,
        )

    expected = measured(written)
    assert {name: metrics[name] for name in expected} == expected
    assert "cross_fitted" not in metrics["open_set"] and set(metrics["groups"]) == {"city"}
    assert metrics["members"] == [
        {
            "path": str(run),
            "accuracy": own["accuracy"],
            "balanced_accuracy": own["balanced_accuracy"],
            "score": own["open_set"]["score"],
        }
        for run, own in zip(members, [measured(own) for _, _, own in alone.values()], strict=True)
    ]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"Mean of 2 models on {DATASET}, fold 1 held out" in page
    assert "8000, 4000" in page and "Learning curves" not in page
    # Nothing of the runs is replaced, and what stands beside the first one is.
    shutil.rmtree(folder)
    assert [contents(run) for run in members] == before


def test_the_report_of_a_run_shows_the_rate_of_every_step(alone):
    run, _, _ = alone["two_path"]
    page = (run / "report.html").read_text(encoding="utf-8")
    # Step 11 of the 12 of the second cycle.
    last = 1e-5 + (0.1 - 1e-5) * (1 + np.cos(np.pi * 11 / 12)) / 2
    summary = f"learning rate over 6 epochs, last epoch 6, learning rate ends at {last:.4g}"
    assert summary in page and "Dots on the learning rate" in page
    assert "best epoch" not in page


def test_snapshots_are_members(members, scenes, tmp_path, monkeypatch):
    """By name, all of the folder, and from inside it; one never takes the place of its run."""
    run = members[1]
    options = {"data_dir": scenes, "progress": False}
    (run / "snapshots").mkdir()
    with pytest.raises(ValueError, match=f"none in {run / 'snapshots'}"):
        evaluate_ensemble([run / "snapshots"], **options)
    (run / "snapshots").rmdir()
    snapshots = snapshots_of(run, 2)
    before = contents(run)
    both = evaluate_ensemble(snapshots, to=tmp_path / "mean", **options)
    assert [member["path"] for member in both["members"]] == [str(path) for path in snapshots]
    assert evaluate_ensemble([run / "snapshots"], to=tmp_path / "all", **options) == both
    assert contents(run) == before

    monkeypatch.chdir(run / "snapshots")
    one = evaluate_ensemble(["epoch-0001.keras"], **options, unknown_weight="tune")
    assert one["open_set"]["cross_fitted"] is not None
    # Tuned on these very clips, and called so.
    assert one["members"][0]["tuned_score"] == one["open_set"]["score"]
    assert "score" not in one["members"][0]
    after = contents(run)
    assert {path: after[path] for path in before} == before
    added = {path.as_posix() for path in after.keys() - before.keys()}
    assert added == {
        f"ensemble/{name}" for name in ("metrics.json", "predictions.csv", "report.html")
    }
    page = (run / "ensemble" / "report.html").read_text(encoding="utf-8")
    assert f"epoch-0001.keras on {DATASET}" in page


def test_the_same_weights_count_once(members, scenes):
    """A run that keeps the last weights is its last snapshot."""
    run = members[1]
    snapshots = snapshots_of(run, 2)
    shutil.copyfile(snapshots[1], run / "model.keras")
    with pytest.raises(ValueError, match=f"{run} and {snapshots[1]} with equal probabilities"):
        evaluate_ensemble([run, *snapshots], data_dir=scenes, progress=False)
    assert not (run / "ensemble").exists()


def change_split(run):
    split = read_json(run / "split.json")
    split["validation"].popitem()
    write_json(run / "split.json", split)


def change_classes(run):
    labels = (run / "labels.txt").read_text().splitlines()
    write_text(run / "labels.txt", "".join(f"{label}\n" for label in labels[::-1]))


def change_dataset(run):
    recipe = read_json(run / "recipe.json")
    write_json(run / "recipe.json", recipe | {"dataset": "esc10"})


@pytest.mark.parametrize(
    ("change", "what"),
    [(change_split, "held-out clips"), (change_classes, "classes"), (change_dataset, "data set")],
)
def test_members_that_differ_are_refused_in_a_sentence(change, what, members, scenes):
    change(members[1])
    with pytest.raises(ValueError, match=f"agree in their {what}.*{members[1]}.*{members[0]}"):
        evaluate_ensemble(members, data_dir=scenes, progress=False)
    assert not (members[0] / "ensemble").exists()


def test_other_refusals(members, scenes, tmp_path):
    run = members[0]
    with pytest.raises(ValueError, match="at least one member"):
        evaluate_ensemble([], data_dir=scenes)
    with pytest.raises(ValueError, match="once.*model.keras twice"):
        evaluate_ensemble([run, run / "model.keras"], data_dir=scenes)
    with pytest.raises(ValueError, match=f"not of a run.*to={members[1]}"):
        evaluate_ensemble([run], to=members[1], data_dir=scenes)
    shutil.copyfile(run / "model.keras", tmp_path / "stray.keras")
    shutil.copyfile(run / "model.keras", run / "initial.keras")
    for other in (tmp_path / "stray.keras", run / "initial.keras"):
        with pytest.raises(ValueError, match=f"model.keras of a run, or .* Received: {other}"):
            evaluate_ensemble([run, other], data_dir=scenes)
    with pytest.raises(ValueError, match="recipe.json, or a .keras file.*nothing"):
        evaluate_ensemble([tmp_path / "nothing"], data_dir=scenes)
    # Records other than those trained with are seen before the first prediction.
    split = read_json(members[1] / "split.json")
    clip = next(iter(split["train"]))
    split["train"][clip]["hash"] = "0" * 32
    write_json(members[1] / "split.json", split)
    with pytest.raises(ValueError, match=f"{members[1]} was trained with"):
        evaluate_ensemble(members, data_dir=scenes, progress=False, unknown_weight=5)
    assert not (run / "ensemble").exists()
