"""Training on real records: the run folder, what is refused, and resuming bit for bit."""

import json
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile
from broken_runs import (
    JOINT_BATCHES,
    check_as_single,
    epochs_done,
    final_state,
    kill_after,
    stopping_at,
)

from keras_audio.cli import main
from keras_audio.files import read_json
from keras_audio.recipes import with_settings
from keras_audio.recipes.residual_blocks import ResidualBlocks
from keras_audio.training import RunFolder, Stopped, loop, train

# M3 on half seconds with a wide first stride: a real network with batch norm, in seconds.
SETTINGS = [
    "network=m3",
    "first_stride=16",
    "duration=0.5",
    "batch_size=16",
    "plateau_patience=1",
    "early_stopping_patience=5",
    "epochs=6",
]


def recipe(*settings):
    base = ResidualBlocks(dataset="toy_sounds", fold=2, seed=3)
    return with_settings(base, [*SETTINGS, *settings])


def command(data, run, *extra):
    named = ["train", "residual_blocks", "--dataset", "toy_sounds", "--fold", "2", "--seed", "3"]
    settings = [f"--set={setting}" for setting in SETTINGS]
    where = ["--data-dir", str(data), "--run", str(run)]
    return [sys.executable, "-m", "keras_audio.cli", *named, *settings, *where, *extra]


def test_killed_twice_ends_bit_equal_to_an_unbroken_training(
    toy_data, tmp_path, monkeypatch, capsys
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with monkeypatch.context() as patch:
        stopping_at(patch, 20)  # in the second epoch
        assert main(command(toy_data, broken)[3:]) == 128 + signal.SIGTERM
    assert "--resume goes on" in capsys.readouterr().err
    assert epochs_done(broken) == 1
    assert (broken / "checkpoints" / "last.npz").is_file()
    status, _ = kill_after(command(toy_data, broken, "--resume"), broken, 3, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert epochs_done(broken) < 6 and not (broken / "done.json").exists()
    # In a process that has trained before, which makes no difference.
    for run in (whole, broken):
        train(recipe(), data_dir=toy_data, run=run, resume=True, progress=False)
    position, arrays, best = final_state(whole)
    other_position, other_arrays, other_best = final_state(broken)
    assert other_position == position
    assert position["epoch"] == 6 and position["callbacks"][0]["best"] == position["best"]
    # The rate fell on the way, so that the callback's counters mattered.
    assert position["history"][-1]["learning_rate"] < 1e-3
    assert arrays.keys() == other_arrays.keys()
    assert all(np.array_equal(arrays[name], other_arrays[name]) for name in arrays)
    assert all(np.array_equal(a, b) for a, b in zip(best, other_best, strict=True))
    assert not [path for path in broken.rglob("*") if ".partial" in path.name]


@pytest.fixture(scope="module")
def finished(toy_data, tmp_path_factory):
    return train(
        recipe("epochs=2"),
        data_dir=toy_data,
        runs_dir=tmp_path_factory.mktemp("runs"),
        progress=False,
    )


def test_a_stop_before_the_smaller_batch_of_a_pass_changes_nothing(toy_data, tmp_path, monkeypatch):
    how = {"data_dir": toy_data, "progress": False}
    asked = recipe("epochs=2", "batch_size=24")
    whole = train(asked, run=tmp_path / "whole", **how)
    assert len(whole.split["train"]) % 24  # the last batch is smaller
    with monkeypatch.context() as patch:
        stopping_at(patch, whole.finished["steps_per_pass"] - 1)
        with pytest.raises(Stopped):
            train(asked, run=tmp_path / "run", **how)
    run = train(asked, run=tmp_path / "run", resume=True, **how)
    (position, arrays, best), found = final_state(whole.path), final_state(run.path)
    assert found[0] == position
    assert all(np.array_equal(arrays[name], found[1][name]) for name in arrays)
    assert all(np.array_equal(a, b) for a, b in zip(best, found[2], strict=True))


def test_the_run_folder_is_complete_and_true(finished, toy_data):
    assert finished.path.parts[-2:] == ("residual_blocks", "toy_sounds-fold2-seed3")
    assert finished.recipe == recipe("epochs=2")
    assert len(finished.labels) == 10
    assert finished.environment["packages"]["keras"] == keras.__version__
    assert set(finished.split) == {"train", "validation"}
    history = finished.history()
    assert history["epoch"].tolist() == [1, 2]
    assert np.isfinite(history["val_loss"]).all()
    best = finished.finished["best_epoch"] - 1
    assert finished.finished["best_value"] == history["val_accuracy"].max()
    assert history["val_accuracy"][best] == history["val_accuracy"].max()
    assert list((finished.path / "tensorboard").rglob("events*"))


def test_the_saved_model_scores_what_the_history_says(finished, toy_data):
    # Read, normalised and scored here, without the pipeline: the clips as they are stored.
    from keras_audio.data import clip_arrays, open_records

    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    model = finished.model()
    correct = [
        int(np.argmax(model(waveform[np.newaxis])[0])) == clip.label
        for (_, waveform), clip in zip(clip_arrays(records, [2]), records.clips([2]), strict=True)
    ]
    assert np.mean(correct) == pytest.approx(finished.finished["best_value"])


def test_the_logged_loss_is_cross_entropy_plus_l2(finished, toy_data):
    from keras_audio.data import clip_arrays, open_records

    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    model, done = finished.model(), finished.finished
    kernels = [w.numpy() for w in model.trainable_variables if w.path.endswith("kernel")]
    losses = [
        -np.log(model(waveform[np.newaxis])[0].numpy()[clip.label])
        for (_, waveform), clip in zip(clip_arrays(records, [2]), records.clips([2]), strict=True)
    ]
    expected = np.mean(losses) + 1e-4 * sum(np.square(kernel).sum() for kernel in kernels)
    logged = finished.history()["val_loss"][done["best_epoch"] - 1]
    assert logged == pytest.approx(expected, rel=1e-3)


def test_a_finished_run_is_kept(finished, toy_data):
    arguments = {"data_dir": toy_data, "run": finished.path, "progress": False}
    with pytest.raises(ValueError, match="finished; --force"):
        train(recipe("epochs=2"), **arguments)
    before = (finished.path / "model.keras").read_bytes()
    assert train(recipe("epochs=2"), resume=True, **arguments).finished == finished.finished
    assert (finished.path / "model.keras").read_bytes() == before


def test_a_changed_recipe_is_refused_with_the_fields(finished, toy_data):
    with pytest.raises(ValueError, match="l2: 0.0001 there, 0.5 asked for"):
        train(
            recipe("epochs=2", "l2=0.5"),
            data_dir=toy_data,
            run=finished.path,
            resume=True,
            progress=False,
        )


def test_first_weights_are_kept_with_the_run(finished, toy_data, tmp_path):
    tuned = recipe("epochs=1", "learning_rate=1e-4")
    arguments = {"data_dir": toy_data, "run": tmp_path / "run", "progress": False, "max_steps": 1}
    run = train(tuned, init_from=finished.path, **arguments)
    source = finished.path / "model.keras"
    assert (run.path / "initial.keras").read_bytes() == source.read_bytes()
    assert read_json(run.path / "initial.json")["source"] == str(finished.path)
    # Going on needs no source, and takes no other.
    assert train(tuned, resume=True, **arguments).finished == run.finished
    assert train(tuned, resume=True, init_from=source, **arguments).finished == run.finished
    with pytest.raises(ValueError, match="weights that .* was begun with"):
        train(tuned, resume=True, init_from=run.path / "model.keras", **arguments)
    with pytest.raises(ValueError, match="new weights"):
        scratch = {**arguments, "run": finished.path}
        train(finished.recipe, resume=True, init_from=source, **scratch)


def test_other_clips_are_refused(toy_data, tmp_path):
    arguments = {"data_dir": toy_data, "run": tmp_path / "run", "progress": False}
    run = train(recipe("epochs=1"), max_steps=1, **arguments)
    (run.path / "done.json").unlink()
    split = read_json(run.path / "split.json")
    next(iter(split["train"].values()))["label"] += 1
    (run.path / "split.json").write_text(json.dumps(split))
    with pytest.raises(ValueError, match="labels or samples"):
        train(recipe("epochs=1"), resume=True, max_steps=1, **arguments)


def test_a_folder_of_something_else_is_not_touched(toy_data, tmp_path):
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(ValueError, match="empty folder"):
        train(recipe(), data_dir=toy_data, run=tmp_path, force=True, progress=False)
    assert (tmp_path / "thesis.tex").read_text() == "all my work"


def test_log_mel_statistics_are_those_of_the_training_clips(toy_data, tmp_path, monkeypatch):
    import librosa

    from keras_audio.data import clip_arrays, open_records

    class Begun(Exception):
        pass

    def begin(loop, *arguments, **keywords):
        raise Begun(loop)

    monkeypatch.setattr(loop.TrainingLoop, "train", begin)
    settings = recipe("network=m34_res", "normalization=log_mel", "epochs=1", "duration=1")
    with pytest.raises(Begun) as begun:
        train(settings, data_dir=toy_data, run=tmp_path / "run", progress=False)
    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    frames = []
    for _, waveform in clip_arrays(records, [1, 3, 4, 5]):
        power = librosa.feature.melspectrogram(
            y=waveform[:, 0], sr=8000, n_fft=320, hop_length=160, n_mels=64, center=False
        )
        frames.append(librosa.power_to_db(power, ref=1.0))
    frames = np.concatenate(frames, axis=1)
    statistics = read_json(tmp_path / "run" / "statistics.json")
    np.testing.assert_allclose(statistics["mean"], frames.mean(axis=1), atol=0.02)
    np.testing.assert_allclose(statistics["variance"], frames.var(axis=1), rtol=5e-3)
    model = begun.value.args[0].full
    features = keras.Model(model.input, model.get_layer("pad_frames").output)
    assert features(np.zeros((1, 4000, 1), np.float32)).shape == (1, 64, 49, 1)


def test_two_devices_train_as_one_with_the_joint_batch(toy_data, tmp_path):
    """One training after the other in one process, too."""
    for kind in ("single", "mirrored"):
        subprocess.run([sys.executable, JOINT_BATCHES, toy_data, tmp_path, kind], check=True)
    check_as_single(tmp_path, "mirrored")


def test_a_network_with_batch_norm_trains_on_two_devices(toy_data, tmp_path):
    script = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy
tf.distribute.MirroredStrategy = lambda: strategy(["CPU:0", "CPU:1"])
from keras_audio.cli import main
sys.exit(main(sys.argv[1:]))
"""
    arguments = command(toy_data, tmp_path / "run", "--strategy", "mirrored", "--set=epochs=2")[3:]
    # 176 clips leave one over: a device without a clip would make every weight NaN.
    arguments.append("--set=batch_size=25")
    subprocess.run([sys.executable, "-c", script, *arguments], check=True)
    history = RunFolder(tmp_path / "run").history()
    assert np.isfinite(history["val_loss"]).all()
    assert history["loss"][1] < history["loss"][0]


def test_records_damaged_on_disk_are_named(toy_data, tmp_path, capsys):
    """Of a set that is streamed the samples are not read before they are trained on."""
    shutil.copytree(toy_data, tmp_path / "data")
    (file,) = (tmp_path / "data").glob("toy_sounds/8000hz*/*/*fold2.tfrecord*")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    file.write_bytes(damaged)
    arguments = command(tmp_path / "data", tmp_path / "run", "--memory=100KB")[3:]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"damaged ones in {file.name} (corrupted record at" in error and "{{" not in error


def test_one_process_at_a_time_trains_a_run(finished, toy_data):
    from keras_audio.files import locked

    with locked(finished.path.with_name(f".{finished.path.name}.lock"), "train"):
        with pytest.raises(ValueError, match="only process to train this run"):
            train(recipe("epochs=2"), data_dir=toy_data, run=finished.path, resume=True)


@pytest.mark.parametrize("dies", ["before the checkpoint", "after the checkpoint"])
def test_a_kill_between_the_writes_of_an_epochs_end(dies, toy_data, tmp_path, monkeypatch):
    """Model, checkpoint and history belong together, wherever between them a process ends."""
    arguments = {"data_dir": toy_data, "progress": False, "max_steps": 3}
    whole = train(recipe("epochs=3"), run=tmp_path / "whole", **arguments)

    class Killed(Exception):
        pass

    save, calls = loop.save_checkpoint, []

    def save_or_die(*values):
        calls.append(None)
        if len(calls) == 3 and dies == "before the checkpoint":
            raise Killed
        save(*values)
        if len(calls) == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_or_die)
        with pytest.raises(Killed):
            train(recipe("epochs=3"), run=tmp_path / "broken", **arguments)
    assert len(RunFolder(tmp_path / "broken").history()["epoch"]) == 2
    broken = train(recipe("epochs=3"), run=tmp_path / "broken", resume=True, **arguments)
    assert final_state(broken.path)[0] == final_state(whole.path)[0]
    assert all(
        np.array_equal(ours, theirs)
        for ours, theirs in zip(
            final_state(broken.path)[2], final_state(whole.path)[2], strict=True
        )
    )
    assert broken.history()["val_loss"].tolist() == whole.history()["val_loss"].tolist()
    assert [file.name for file in (broken.path / "checkpoints").iterdir()] == ["last.npz"]
    assert len(broken.environment["resumed"]) == 1


def test_what_a_kill_left_does_not_block_the_folder(toy_data, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".labels.partial.txt").write_text("do")
    (run / "split.json").write_text("{}")
    train(recipe("epochs=1"), data_dir=toy_data, run=run, max_steps=1, progress=False)
    assert not list(run.rglob(".*.partial*"))


def test_another_strategy_cannot_go_on(toy_data, tmp_path):
    arguments = {"data_dir": toy_data, "run": tmp_path / "run", "progress": False}
    run = train(recipe("epochs=1"), max_steps=1, **arguments)
    (run.path / "done.json").unlink()
    with pytest.raises(ValueError, match="strategy as .* was begun, single"):
        train(recipe("epochs=1"), resume=True, strategy="mirrored", max_steps=1, **arguments)
    with pytest.raises(ValueError, match="resume or force, not both"):
        train(recipe("epochs=1"), resume=True, force=True, **arguments)


def test_a_damaged_model_is_named(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "run")
    model = tmp_path / "run" / "model.keras"
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ValueError, match="Expected a whole model.*model.keras"):
        RunFolder(tmp_path / "run").model()


def test_clips_too_short_for_the_spectrogram_are_named(tmp_path):
    import data_prep

    rng = np.random.default_rng(0)
    for label in ("hum", "hiss"):
        (tmp_path / "sounds" / label).mkdir(parents=True)
        for take in range(4):
            length = 100 if (label, take) == ("hum", 2) else 4000
            sound = rng.uniform(-0.5, 0.5, length)
            soundfile.write(tmp_path / "sounds" / label / f"{take}.wav", sound, 8000)
    data_prep.prepare(
        "audio_folder",
        source=tmp_path / "sounds",
        sample_rate=8000,
        data_dir=tmp_path,
        dataset_name="mine",
        progress=False,
    )
    short = ResidualBlocks(dataset="mine", fold=1, normalization="log_mel")
    with pytest.raises(ValueError, match="at least 320 samples .*hum/2.wav"):
        train(short, data_dir=tmp_path, run=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
