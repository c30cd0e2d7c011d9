"""Trainings in stages: what each begins with, one history, and resuming inside any of them."""

import contextlib
import io
import signal
import subprocess
import sys

import numpy as np
import pytest
from broken_runs import final_state, kill_after, stopping_at
from resnet_files import random_state, save

from keras_audio import cli
from keras_audio.evaluation import evaluate_run
from keras_audio.recipes import ProgressiveResizing, with_settings
from keras_audio.serving import load_classifier
from keras_audio.serving.export import window_samples
from keras_audio.training import RunFolder, Stopped, train, trainer
from keras_audio.training.checkpoint import read_position

# Two stages at the small size, so that the best of both is what the large ones begin with.
SETTINGS = [
    "network=resnet10",
    "num_filters=4",
    "sample_rate=8000",
    "batch_size=16",
    "num_mels=32",
    "frames=40",
    "mixup=standard",
    "stages=16x20:2:1e-2,16x20:2:5e-3/3,32x40:2:5e-3/3",
]


def recipe(*settings):
    base = ProgressiveResizing(dataset="toy_sounds", fold=2, seed=3)
    return with_settings(base, [*SETTINGS, *settings])


def command(data, run, *extra):
    named = "train progressive_resizing --dataset toy_sounds --fold 2 --seed 3".split()
    settings = [f"--set={setting}" for setting in SETTINGS]
    where = ["--data-dir", str(data), "--run", str(run)]
    return [sys.executable, "-m", "keras_audio.cli", *named, *settings, *where, *extra]


def clips_right(model, data):
    """The share of the held-out clips that a model gets right, read without the pipeline."""
    from keras_audio.data import clip_arrays, open_records

    records = open_records("toy_sounds", sample_rate=8000, data_dir=data)
    answers = [np.argmax(model(clip[np.newaxis])[0]) for _, clip in clip_arrays(records, [2])]
    return np.mean(np.array(answers) == [clip.label for clip in records.clips([2])])


def assert_equal(first, second):
    """Check that two trainings ended alike, bit for bit."""
    (position, arrays, best), (other_position, other_arrays, other_best) = first, second
    assert other_position == position
    assert (position["stage"], position["stage_epoch"], position["epoch"]) == (2, 4, 6)
    assert arrays.keys() == other_arrays.keys()
    assert all(np.array_equal(arrays[name], other_arrays[name]) for name in arrays)
    assert all(np.array_equal(a, b) for a, b in zip(best, other_best, strict=True))


@pytest.fixture(scope="module")
def staged(toy_data, tmp_path_factory):
    """A finished run, with each stage's share of clips right at its begin, and its model."""
    taken, said = [], io.StringIO()
    take_weights = trainer.copy_weights

    def noticing(source, target):
        take_weights(source, target)
        taken.append((clips_right(source, toy_data), target))

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(trainer, "copy_weights", noticing)
        runs = tmp_path_factory.mktemp("runs")
        run = train(recipe(), data_dir=toy_data, runs_dir=runs, progress=False)
    assert said.getvalue().count("begins with new weights") == 1
    return run, taken


def test_histories_join(staged):
    run, _ = staged
    history, steps = run.history(), run.finished["steps_per_pass"]
    assert history["stage"].tolist() == [1, 1, 2, 2, 3, 3]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["iteration"].tolist() == [steps * epoch for epoch in range(1, 7)]
    assert np.all(np.diff(history["seconds"]) > 0)
    # Each stage ends where its own cycle does, far below its highest rate.
    assert np.all(history["learning_rate"][1::2] < np.array([1e-2, 5e-3, 5e-3]) / 10)
    assert run.finished["epochs"] == 6


def test_each_stage_begins_with_the_best_weights_of_a_resolution(staged, toy_data):
    run, taken = staged
    accuracy = run.history()["val_accuracy"]
    # Stages 1 and 2 see the same images: the best of both is what stage 3 begins with.
    assert [right for right, _ in taken] == pytest.approx([accuracy[:2].max(), accuracy[:4].max()])
    # And it is only among rounds on the large images that the best one is looked for.
    done = run.finished
    assert done["best_epoch"] > 4 and done["best_value"] == accuracy[4:].max()
    assert clips_right(run.model(), toy_data) == pytest.approx(done["best_value"])
    assert [target.get_layer("resize").output.shape[1:3] for _, target in taken[:1]] == [(16, 20)]
    assert run.model().get_layer("log_mel_image").output.shape[1:3] == (32, 40)


@pytest.mark.slow
def test_killed_in_any_stage_it_ends_bit_equal_to_an_unbroken_training(toy_data, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = subprocess.Popen(command(toy_data, whole))
    for epochs, number in ((1, signal.SIGTERM), (3, signal.SIGKILL), (4, signal.SIGKILL)):
        extra = [] if epochs == 1 else ["--resume"]
        status, errors = kill_after(command(toy_data, broken, *extra), broken, epochs, number)
        assert status in (128 + number, -number), errors
    assert not (broken / "done.json").exists()
    subprocess.run(command(toy_data, broken, "--resume"), check=True)

    assert unbroken.wait(timeout=300) == 0
    assert_equal(final_state(whole), final_state(broken))


def test_a_clip_is_served_as_it_is_measured(staged):
    run, _ = staged
    # Longer than the images, and shorter than the longest clip: heard as one.
    clip = np.random.default_rng(0).normal(0, 0.1, (3 * 8000, 1)).astype("float32")
    clip[: 2 * 8000] *= np.linspace(0, 1, 2 * 8000)[:, np.newaxis]
    served = load_classifier(run.path).predict(clip)
    np.testing.assert_allclose(served, run.model()(clip[np.newaxis])[0], atol=1e-6)
    assert window_samples(run.model()) == 5 * 8000


def test_weights_of_imagenet_begin_the_first_stage(toy_data, tmp_path, capsys):
    state = random_state(filters=4)
    file = save(tmp_path / "state.safetensors", state)
    # A rate that moves nothing, so that what it began with is what it ends with.
    asked = ["--set=stem=sum", "--set=stages=32x40:1:1e-12", "--init-from", str(file)]
    arguments = command(toy_data, tmp_path / "run", *asked)[3:]
    assert cli.main(arguments) == 0
    assert "new weights" not in capsys.readouterr().err
    kernel = RunFolder(tmp_path / "run").model().get_layer("conv1").kernel
    expected = state["conv1.weight"].sum(axis=1, keepdims=True).transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel, expected, atol=1e-6)

    assert cli.main([*arguments, "--resume"]) == 0
    save(file, random_state(filters=4, classes=7))
    assert cli.main([*arguments, "--resume"]) == 2
    assert "Expected the weights that" in capsys.readouterr().err
    assert cli.main(["train", "--init-from", str(file)]) == 2
    assert "Expected a recipe with a state dict" in capsys.readouterr().err


def test_stopped_inside_stages_and_killed_between_two_it_ends_the_same(
    staged, toy_data, tmp_path, monkeypatch
):
    run, _ = staged
    broken, how = tmp_path / "broken", {"data_dir": toy_data, "progress": False}

    def dying(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "copy_weights", dying)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), run=broken, **how)
    # A round is checked at each of its steps, in its validation and at its end: the stops are at
    # the third step of stage 2, and from there at the third of the last round of stage 3.
    a_round = int(run.finished["steps_per_pass"]) + 2
    for number, stage in ((3, 1), (3 * a_round, 2)):
        with monkeypatch.context() as patch:
            stopping_at(patch, number)
            with pytest.raises(Stopped):
                train(recipe(), run=broken, resume=True, **how)
        place = read_position(broken / "checkpoints" / "last.npz")
        assert (place["stage"], place["step"]) == (stage, 3)
        if stage == 1:
            evaluate_run(broken, data_dir=toy_data, progress=False)
            assert "unfinished: in stage 1 of 3" in (broken / "report.html").read_text()
    train(recipe(), run=broken, resume=True, **how)
    assert_equal(final_state(run.path), final_state(broken))
