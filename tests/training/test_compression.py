"""Rounds of pruning on real records: what they keep, when they stop, and resuming bit for bit."""

import csv
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from broken_runs import stopping_at

from keras_audio.files import locked, read_json
from keras_audio.recipes import with_settings
from keras_audio.recipes.residual_blocks import ResidualBlocks
from keras_audio.training import CompressionSettings, RunFolder, Stopped, compress_run, train
from keras_audio.training.compression_settings import Until
from keras_audio.training.trainer import lock_of

SETTINGS = ["network=m3", "first_stride=16", "duration=0.5", "batch_size=16", "epochs=3"]
# M3 has 220,416 weights in kernels, 430.5 KB: two rounds. The rate moves weights in an epoch.
ASKED = CompressionSettings(rate=0.3, until="size=250KB", learning_rate=1e-3, epochs=2)


@pytest.fixture(scope="module")
def run(toy_data, tmp_path_factory):
    recipe = ResidualBlocks(dataset="toy_sounds", fold=2, seed=3, validation="next")
    return train(
        with_settings(recipe, SETTINGS),
        data_dir=toy_data,
        runs_dir=tmp_path_factory.mktemp("runs"),
        progress=False,
    )


@pytest.fixture(scope="module")
def pruned(run, toy_data):
    return compress_run(run, ASKED, data_dir=toy_data, progress=False)


def kernels(model):
    """The kernel of each convolution, (kernels, weights of a kernel)."""
    found = {}
    for layer in model.layers:
        if type(layer).__name__ == "Conv1D":
            kernel = layer.kernel.numpy()
            found[layer.name] = kernel.reshape(-1, kernel.shape[-1]).T
    return found


def dead(model):
    return {name: ~kernel.any(axis=1) for name, kernel in kernels(model).items()}


def test_a_run_that_validates_on_the_next_fold_tests_on_its_own(run):
    assert list(run.split) == ["train", "validation", "test"]
    assert run.held_out == run.split["test"]


def test_rounds_prune_a_share_of_what_is_alive_until_the_size_is_met(run, pruned):
    rows = pruned.rounds()
    assert [row["round"] for row in rows] == list(range(len(rows)))
    assert rows[0]["non_zero"] == rows[0]["total"] - 512  # but for the scales of two batch norms
    sizes = [row["kilobytes"] for row in rows]
    assert sizes[-1] <= 250 < sizes[-2]
    assert pruned.settings["kept"] == len(rows) - 1
    gone = {name: np.zeros(256, bool) for name in kernels(run.model())}
    for number in range(1, len(rows)):
        model = pruned.round_folder(number).model()
        now = dead(model)
        for name, before in gone.items():
            alive = 256 - before.sum()
            assert now[name].sum() == before.sum() + round(0.3 * alive)
            assert now[name][before].all()  # what is zero stays zero through fine-tuning
        gone = now
        weights = sum(np.count_nonzero(kernel) for kernel in kernels(model).values())
        weights += np.count_nonzero(model.get_layer("logits").kernel.numpy())
        assert rows[number]["non_zero"] == weights
        assert sizes[number] == pytest.approx(weights * 2 / 1024)


def test_what_is_alive_is_fine_tuned(pruned):
    folder = pruned.round_folder(1)
    before, after = kernels(folder.model("initial.keras")), kernels(folder.model())
    for name, kernel in before.items():
        alive = kernel.any(axis=1)
        assert not np.array_equal(after[name][alive], kernel[alive])
        assert not after[name][~alive].any()


def test_the_tables_say_what_was_pruned(pruned):
    with open(pruned.path / "pruning.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["round"] for row in rows} == {
        str(row["round"]) for row in pruned.rounds() if row["round"]
    }
    first = [row for row in rows if row["round"] == "1" and row["kind"] == "kernel"]
    assert [(row["alive_before"], row["alive_after"]) for row in first] == [("256", "179")] * 2
    assert "group1_1_conv" in (pruned.path / "shrinking.txt").read_text()


def test_the_folder_is_a_run_with_a_smaller_model_of_the_same_answers(run, pruned):
    small, kept = pruned.model(), pruned.round_folder(pruned.settings["kept"]).model()
    assert small.count_params() < kept.count_params() == run.model().count_params()
    sound = np.random.default_rng(0).uniform(-1, 1, (3, 4000, 1)).astype("float32")
    np.testing.assert_allclose(small(sound), kept(sound), atol=1e-5)
    assert pruned.recipe == run.recipe and pruned.labels == run.labels
    assert read_json(pruned.path / "split.json") == run.split


def test_the_score_of_a_round_is_that_of_the_validation_clips(pruned, toy_data):
    from keras_audio.data import clip_arrays, open_records

    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    model = pruned.round_folder(1).model()
    correct = [
        int(np.argmax(model(waveform[np.newaxis])[0])) == clip.label
        for (_, waveform), clip in zip(clip_arrays(records, [3]), records.clips([3]), strict=True)
    ]
    assert np.mean(correct) == pytest.approx(pruned.rounds()[1]["score"])


def test_a_finished_compression_is_not_made_again_unless_told_to(run, pruned, toy_data):
    written = (pruned.path / "model.keras").stat().st_mtime_ns
    with pytest.raises(ValueError, match="Received: .*compressed, which is finished; --force"):
        compress_run(run, ASKED, data_dir=toy_data)
    again = compress_run(run, ASKED, data_dir=toy_data, resume=True, progress=False)
    assert (again.path / "model.keras").stat().st_mtime_ns == written
    other = dataclasses.replace(ASKED, rate=0.2)
    with pytest.raises(ValueError, match="rate: 0.3 there, 0.2 asked for"):
        compress_run(run, other, data_dir=toy_data, resume=True)


def test_the_rule_of_a_drop_keeps_the_last_round_that_is_good_enough(run, toy_data, tmp_path):
    # At so high a rate nothing is left to know the classes by: the score falls in the end.
    settings = CompressionSettings(rate=0.9, until="drop=0", epochs=1)
    small = compress_run(run, settings, to=tmp_path / "c", data_dir=toy_data, progress=False)
    rows, kept = small.rounds(), small.settings["kept"]
    assert rows[0]["score"] == run.finished["best_value"]
    assert kept == len(rows) - 2
    assert all(row["score"] >= rows[0]["score"] for row in rows[:-1])
    assert rows[-1]["score"] < rows[0]["score"]


def test_what_cannot_be_compressed_is_refused(run, toy_data, tmp_path):
    settings = CompressionSettings(until="accuracy=1.0")
    with pytest.raises(ValueError, match="at least 1 before it is pruned. Received: 0"):
        compress_run(run, settings, to=tmp_path / "a", data_dir=toy_data, progress=False)
    begun = tmp_path / "begun"
    shutil.copytree(run.path, begun, ignore=shutil.ignore_patterns("compressed", "done.json"))
    with pytest.raises(ValueError, match="Expected a finished run.*begun"):
        compress_run(begun, CompressionSettings(), data_dir=toy_data)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="Expected a new or empty folder.*mine"):
        compress_run(run, CompressionSettings(), to=tmp_path / "mine", data_dir=toy_data)
    with pytest.raises(ValueError, match="new or empty"):
        compress_run(
            run, CompressionSettings(), to=tmp_path / "mine", data_dir=toy_data, force=True
        )
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


@pytest.mark.parametrize(
    "text", ["size=500", "accuracy=1.2", "drop=5KB", "drop=1", "size=0KB", "speed=3", "0.5", ""]
)
def test_rules_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"Expected when to stop as size=500KB.*Received: "):
        Until.parse(text)


@pytest.mark.parametrize(
    "text, kilobytes", [("size=500KB", 500), ("size=0.5MB", 512), ("size=2048b", 2)]
)
def test_sizes_are_in_units_of_1024(text, kilobytes):
    assert Until.parse(text) == Until("size", kilobytes)
    assert Until.parse(str(Until.parse(text))) == Until.parse(text)


@pytest.mark.parametrize(
    "field, value", [("rate", 0.0), ("rate", 1.0), ("learning_rate", 0.0), ("epochs", 0)]
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(ValueError, match=f"Received: {field}={value}"):
        CompressionSettings(**{field: value})


COMPRESS = """
import json, sys
from keras_audio.training import CompressionSettings, compress_run
run, to, data, settings = sys.argv[1:]
settings = CompressionSettings(**json.loads(settings))
compress_run(run, settings, to=to, data_dir=data, resume=True)
"""


def start(run, to, data):
    settings = json.dumps(dataclasses.asdict(ASKED))
    command = [sys.executable, "-c", COMPRESS, str(run.path), str(to), str(data), settings]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def final_state(path):
    state = {}
    for folder in sorted((path / "rounds").iterdir()):
        with np.load(folder / "checkpoints" / "last.npz") as file:
            arrays = {f"{folder.name}/{name}": array for name, array in file.items()}
        position = json.loads(str(arrays.pop(f"{folder.name}/position")))
        for row in (position, *position["history"]):
            row.pop("seconds")
        arrays |= {
            f"{folder.name}/model/{index}": variable.numpy()
            for index, variable in enumerate(RunFolder(folder).model().variables)
        }
        state |= arrays | {f"{folder.name}/position": position}
    return state


def test_killed_in_a_round_it_ends_bit_equal_to_an_unbroken_one(run, pruned, toy_data, tmp_path):
    broken = tmp_path / "broken"
    options = {"to": broken, "data_dir": toy_data, "resume": True, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        stopping_at(patch, 5)
        with pytest.raises(Stopped):
            compress_run(run, ASKED, **options)
    assert [folder.name for folder in (broken / "rounds").iterdir()] == ["01"]
    process = start(run, broken, toy_data)
    while not (broken / "rounds" / "02" / "history.csv").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait(timeout=300) == -signal.SIGKILL
    assert not (broken / "recipe.json").exists()
    compress_run(run, ASKED, **options)
    expected, found = final_state(pruned.path), final_state(broken)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert np.array_equal(value, found[name]), name


def test_a_rate_that_prunes_no_further_kernel_ends_it_and_a_run_may_be_moved(
    run, toy_data, tmp_path
):
    here, to = tmp_path / "here", tmp_path / "small"
    shutil.copytree(run.path, here, ignore=shutil.ignore_patterns("compressed"))
    # A thousandth of 256 kernels is none.
    settings = CompressionSettings(rate=0.001, until="size=1KB")
    small = compress_run(here, settings, to=to, data_dir=toy_data, progress=False)
    assert small.settings["kept"] == 0
    assert small.settings["reason"] == "a rate of 0.001 prunes no further kernel of any layer"
    assert small.model().count_params() == run.model().count_params()
    moved = here.rename(tmp_path / "there")
    again = compress_run(moved, settings, to=to, data_dir=toy_data, resume=True, progress=False)
    assert again.round_folder(0).path.samefile(moved)
    for refused in (to, to / "."):
        with pytest.raises(ValueError, match="Expected the folder of a training to compress"):
            compress_run(refused, settings, data_dir=toy_data)
    with pytest.raises(ValueError, match="Received: .*small, a compression"):
        train(run.recipe, data_dir=toy_data, run=to, resume=True)


def test_a_refused_rule_leaves_nothing_and_a_partial_folder_is_no_hindrance(
    run, toy_data, tmp_path
):
    to = tmp_path / "small"
    with pytest.raises(ValueError, match="at least 0.999 before it is pruned"):
        compress_run(run, CompressionSettings(until="accuracy=0.999"), to=to, data_dir=toy_data)
    assert not to.exists()
    # What a kill leaves while an export is written.
    (to / ".litert.partial").mkdir(parents=True)
    settings = CompressionSettings(rate=0.001, until="size=1KB")
    compress_run(run, settings, to=to, data_dir=toy_data, progress=False)
    assert not (to / ".litert.partial").exists()


def test_a_run_is_not_trained_while_it_is_compressed(run, toy_data):
    with locked(lock_of(run.path), "train this run", shared=True):
        with pytest.raises(ValueError, match="only process to train this run"):
            train(run.recipe, data_dir=toy_data, run=run.path, resume=True)
        # Two compressions of one run are no harm to each other.
        with locked(lock_of(run.path), "train this run", shared=True):
            pass


def test_settings_of_before_a_field_was_there_are_taken_with_its_default():
    stored = dataclasses.asdict(ASKED) | {"source": "..", "model": "3f5a", "kept": 2}
    del stored["scales"]
    assert CompressionSettings.from_stored(stored) == ASKED
