"""Trainings with mixing, masks, averaged weights and schedules, stopped and resumed exactly.

The sounds are tones and noise of a second or two at 44.1 kHz; the networks are the lightest
ERANN and a narrow two-path network.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile
from broken_runs import final_state, stopping_at

import data_prep
from keras_audio.data import open_records
from keras_audio.evaluation import evaluate_run
from keras_audio.recipes import ERANN, TwoPath
from keras_audio.training import RunFolder, Stopped, loop, train

SMALL = {
    "s_m": 3,
    "width": 1,
    "batch_size": 4,
    "crop_duration": 1.0,
    "iterations": 7,
    "evaluation_interval": 3,
    "ema_decay": 0.5,
    "schedule": "one_cycle",
}
TAGGING = {"task": "tagging", "balanced_sampling": True}
SMALL_TWO_PATH = {
    "num_filters": 2,
    "batch_size": 4,
    "duration": 1.5,
    "crop_frames": 40,
    "epochs": 4,
    "first_cycle": 1,
    "snapshots": True,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """`tones`: two classes, single-label. `tags`: the same sounds with any number of tags.

    `stereo`: the tones with two channels, the right one softer.
    """
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    rows, tags = ["filename,label,fold"], ["filename,labels,fold"]
    for number in range(12):
        time = np.arange(int(44100 * rng.uniform(0.8, 2.2))) / 44100
        tone, noise = np.sin(2 * np.pi * 600 * time), rng.normal(size=len(time))
        tonal = number % 2 == 0
        sound = 0.1 * (tone if tonal else noise)
        if number % 3 == 0:
            sound += 0.05 * (noise if tonal else tone)
        sides = np.stack([sound, 0.5 * sound], axis=1)
        soundfile.write(folder / f"{number}-stereo.wav", sides, 44100, subtype="PCM_16")
        soundfile.write(folder / f"{number}.wav", sound, 44100, subtype="PCM_16")
        name = "tone" if tonal else "noise"
        both = "noise|tone" if number % 3 == 0 else name
        rows.append(f"{number}.wav,{name},{1 + number // 2 % 2}")
        tags.append(f"{number}.wav,{both},{1 + number // 2 % 2}")
    stereo = [row.replace(".wav", "-stereo.wav") for row in rows]
    for name, lines in (("tones", rows), ("tags", tags), ("stereo", stereo)):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
        data_prep.prepare(
            "audio_folder",
            source=folder / f"{name}.csv",
            sample_rate=44100,
            channels=2 if name == "stereo" else 1,
            data_dir=folder / "data",
            dataset_name=name,
            progress=False,
        )
    return folder / "data"


def whole_and_broken(recipe, stop, data, folder, monkeypatch):
    """A training, and the same one stopped and resumed, checked to end bit for bit alike."""
    whole = train(recipe, data_dir=data, run=folder / "whole", progress=False)
    with monkeypatch.context() as patch:
        stopping_at(patch, stop)
        with pytest.raises(Stopped):
            train(recipe, data_dir=data, run=folder / "broken", progress=False)
    broken = train(recipe, data_dir=data, run=folder / "broken", resume=True, progress=False)
    position, arrays, kept = final_state(whole.path)
    other_position, other_arrays, other_kept = final_state(broken.path)
    assert other_position == position
    assert arrays.keys() == other_arrays.keys()
    assert all(np.array_equal(arrays[name], other_arrays[name]) for name in arrays)
    assert all(np.array_equal(a, b) for a, b in zip(kept, other_kept, strict=True))
    return whole, broken


@pytest.mark.parametrize(
    ("dataset", "settings", "stop"),
    [
        # In the validation of the first round, and at the second step of the second.
        ("tags", TAGGING | {"mixup": "between_class_log_mel", "spec_augment_fill": "floor"}, 4),
        pytest.param("tags", TAGGING | {"mixup": "standard"}, 7, marks=pytest.mark.slow),
        pytest.param("tones", {"mixup": "between_class_log_mel"}, 7, marks=pytest.mark.slow),
    ],
)
def test_a_stop_in_a_round_or_in_a_validation_changes_nothing(
    dataset, settings, stop, data, tmp_path, monkeypatch
):
    recipe = ERANN.for_dataset(dataset, fold=1, seed=5, **SMALL, **settings)
    whole, _ = whole_and_broken(recipe, stop, data, tmp_path, monkeypatch)
    with np.load(whole.path / "checkpoints" / "last.npz") as file:
        assert {name.partition("/")[0] for name in file} >= {"network", "average", "mixing"}
    history, done = whole.history(), whole.finished
    assert history["iteration"].tolist() == [3, 6, 7]
    assert (done["epochs"], done["iterations"]) == (3, 7)
    assert done["best_iteration"] == history["iteration"][done["best_epoch"] - 1]
    assert history[recipe.monitor].max() == done["best_value"]
    assert np.isfinite(history["val_loss"]).all()
    # The rates of the steps that end the rounds, counted from 0.
    expected = [float(recipe.build_optimizer(3)._learning_rate(step)) for step in (2, 5, 6)]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-5)


def test_warm_restarts_and_snapshots_go_on_where_they_stopped(data, tmp_path, monkeypatch):
    settings = SMALL_TWO_PATH | {"channels": 2, "swap_channels": True}
    recipe = TwoPath.for_dataset("stereo", fold=1, seed=5, **settings)
    # In the second epoch, within the second cycle.
    whole, broken = whole_and_broken(recipe, 6, data, tmp_path, monkeypatch)
    done, history = whole.finished, whole.history()
    per_pass = done["steps_per_pass"]
    assert done["iterations"] == 4 * per_pass
    assert (done["kept"], done["kept_epoch"]) == ("last", 4)
    # Cycles of 1 and 2 epochs, and the first of the third; the rate of each epoch's last step.
    progress = np.array([1, 1 / 2, 1, 1 / 4]) - np.array([1, 1 / 2, 1 / 2, 1 / 4]) / per_pass
    expected = 1e-5 + (0.1 - 1e-5) * (1 + np.cos(np.pi * progress)) / 2
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-4)

    # The ends of the two whole cycles, equal in both trainings and unlike each other.
    names = [path.name for path in whole.snapshots()]
    assert names == [path.name for path in broken.snapshots()]
    assert names == ["epoch-0001.keras", "epoch-0003.keras"]
    first, third = ([load_weights(path) for path in run.snapshots()] for run in (whole, broken))
    for one, other in zip(first, third, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(first[0][-1], first[1][-1])
    # The last weights, though an earlier epoch may have been better.
    _, arrays, _ = final_state(whole.path)
    kernel = whole.model().get_layer("path1_stem_conv").kernel.numpy()
    assert any(np.array_equal(kernel, value) for value in arrays.values())


@pytest.mark.slow
def test_a_kill_between_a_snapshot_and_its_checkpoint_changes_nothing(data, tmp_path, monkeypatch):
    recipe = TwoPath.for_dataset("tones", fold=1, seed=5, **SMALL_TWO_PATH)
    options = {"data_dir": data, "progress": False}
    whole = train(recipe, run=tmp_path / "whole", **options)

    class KilledError(Exception):
        pass

    save = loop.save_checkpoint

    def die_at_the_second(path, variables, position):
        if position["epoch"] == 3:
            raise KilledError
        save(path, variables, position)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", die_at_the_second)
        with pytest.raises(KilledError):
            train(recipe, run=tmp_path / "broken", **options)
    broken = RunFolder(tmp_path / "broken")
    # The third epoch has left its snapshot, but counts as not done.
    assert [path.name for path in broken.snapshots()] == ["epoch-0001.keras", "epoch-0003.keras"]
    assert broken.history()["epoch"].tolist() == [1, 2]
    broken = train(recipe, run=broken.path, resume=True, **options)
    for one, other in zip(whole.snapshots(), broken.snapshots(), strict=True):
        pairs = zip(load_weights(one), load_weights(other), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert final_state(whole.path)[0] == final_state(broken.path)[0]


def test_keep_best_keeps_the_best(data, tmp_path):
    settings = SMALL_TWO_PATH | {"keep": "best", "snapshots": False}
    recipe = TwoPath.for_dataset("tones", fold=1, seed=5, **settings)
    run = train(recipe, data_dir=data, run=tmp_path / "run", progress=False)
    done = run.finished
    assert (done["kept"], done["kept_epoch"]) == ("best", done["best_epoch"])
    assert run.snapshots() == []
    assert done["best_value"] == run.history()["val_accuracy"].max()


def load_weights(path):
    return [variable.numpy() for variable in keras.models.load_model(path).variables]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A round of all three steps, so that the model kept is the last one."""
    recipe = ERANN.for_dataset("tones", fold=1, **SMALL | {"iterations": 3})
    return train(recipe, data_dir=data, runs_dir=tmp_path_factory.mktemp("runs"), progress=False)


def test_the_model_kept_is_the_average(finished):
    _, arrays, _ = final_state(finished.path)
    model = finished.model()
    weights = [w.numpy() for w in model.trainable_variables]
    for index, weight in enumerate(weights):
        assert np.array_equal(weight, arrays[f"average/{index}"])
    raw = {name: value for name, value in arrays.items() if name.startswith("network/")}
    assert not any(np.array_equal(weights[-2], value) for value in raw.values())
    statistics = {value.tobytes() for name, value in arrays.items() if "average" in name}
    assert model.get_layer("input_bn").moving_mean.numpy().tobytes() in statistics


def test_a_run_evaluates_its_clips_at_their_own_lengths(finished, data):
    assert finished.path.parts[-2:] == ("erann", "tones-fold1-seed0")
    metrics = evaluate_run(finished, data_dir=data, progress=False)
    assert metrics["accuracy"] == pytest.approx(finished.finished["best_value"])
    records, model = open_records("tones", sample_rate=44100, data_dir=data), finished.model()
    from keras_audio.data import clip_arrays

    correct = [
        int(np.argmax(model(waveform[np.newaxis])[0])) == clip.label
        for (_, waveform), clip in zip(clip_arrays(records, [1]), records.clips([1]), strict=True)
    ]
    assert metrics["accuracy"] == np.mean(correct)


def test_short_clips_are_measured_and_served_as_they_were_trained(finished):
    """All are padded to t_c, so that a sound means the same with and without those zeros."""
    recipe = ERANN.for_dataset("tones", fold=1, **SMALL | {"crop_duration": 3.0})
    assert recipe.training_data["crop_samples"] == 3 * 44100
    model = recipe.build_model(2)
    sound = np.random.default_rng(0).normal(size=(1, 30000, 1)).astype("float32")
    padded = np.pad(sound, [(0, 0), (0, 3 * 44100 - 30000), (0, 0)])
    np.testing.assert_array_equal(model(sound), model(padded))


def test_a_task_that_does_not_fit_the_labels_is_refused(data, tmp_path):
    for dataset, task in (("tones", "tagging"), ("tags", "classification")):
        recipe = ERANN.for_dataset(dataset, fold=1, **SMALL, task=task)
        with pytest.raises(ValueError, match=f"several labels a clip.*{dataset}"):
            train(recipe, data_dir=data, run=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_force_does_not_delete_what_it_starts_from(finished, data):
    for source in (finished.path, finished.path / "model.keras"):
        with pytest.raises(ValueError, match="outside of .*--force deletes"):
            train(finished.recipe, data_dir=data, run=finished.path, force=True, init_from=source)
    wider = ERANN.for_dataset("tones", fold=1, **SMALL | {"width": 2})
    with pytest.raises(ValueError, match="layer stage0_block1_conv1"):
        before = finished.path.with_name("before")
        train(wider, data_dir=data, run=before, force=True, init_from=finished.path)
    assert finished.model() and not before.exists()


def test_what_cannot_be_measured_or_trained_is_refused_at_the_start(data, tmp_path):
    large = ERANN.for_dataset("tones", fold=1, **SMALL | {"batch_size": 7})
    with pytest.raises(ValueError, match="at most 6, the number of training clips.*batch_size=7"):
        train(large, data_dir=data, run=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


MIRRORED = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy
tf.distribute.MirroredStrategy = lambda: strategy(["CPU:0", "CPU:1"])
from keras_audio.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_mixing_masks_and_averages_on_two_devices(data, tmp_path):
    """Whether it ends, and both devices end with weights that one model file can hold."""
    settings = [f"--set={field}={value}" for field, value in SMALL.items()]
    where = ["--data-dir", str(data), "--run", str(tmp_path / "run"), "--strategy", "mirrored"]
    command = ["train", "erann", "--dataset", "tones", "--fold", "1", *settings, *where]
    subprocess.run([sys.executable, "-c", MIRRORED, *command], check=True, timeout=600)
    run = RunFolder(tmp_path / "run")
    assert run.history()["iteration"].tolist() == [3, 6, 7]
    assert np.isfinite(run.history()["val_loss"]).all()
    with np.load(run.path / "checkpoints" / "last.npz") as file:
        assert all(np.isfinite(file[name]).all() for name in file if name != "position")
