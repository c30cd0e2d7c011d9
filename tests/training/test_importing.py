"""A run made of an original checkpoint: what is in it, and what takes it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from original_networks import config_with_code, plain, save
from untrained_runs import untrained

import keras_audio.training.importing
from keras_audio.data import make_split, open_records
from keras_audio.evaluation import evaluate_ensemble, evaluate_run
from keras_audio.recipes import ResidualBlocks
from keras_audio.training import CompressionSettings, RunFolder, compress_run, train
from keras_audio.training.importing import import_run, read_labels

RECIPE = ResidualBlocks(
    dataset="toy_sounds",
    fold=1,
    network="m3",
    normalization="none",
    duration=0.5,
    batch_size=8,
    epochs=1,
    l2=0.0,
)


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", data_dir=toy_data, sample_rate=8000, channels=1)


@pytest.fixture(scope="module")
def waveforms():
    return np.random.default_rng(2).uniform(-0.5, 0.5, (2, 4000, 1)).astype("float32")


@pytest.fixture(scope="module")
def net(records, waveforms):
    """The original network, and what it answers to the waveforms."""
    return plain("m3", len(records.labels), waveforms)


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    return save(tmp_path_factory.mktemp("original") / "m3.h5", net)


@pytest.fixture(scope="module")
def run(file, records, toy_data, tmp_path_factory):
    """Imported where the records lie."""
    to = tmp_path_factory.mktemp("runs") / "known"
    return import_run(file, RECIPE, records.labels, to=to, data_dir=toy_data)


@pytest.fixture(scope="module")
def bare(file, records, tmp_path_factory):
    """Imported where none lie."""
    folder = tmp_path_factory.mktemp("runs")
    return import_run(file, RECIPE, records.labels, to=folder / "bare", data_dir=folder)


def test_the_run_is_a_whole_one_that_answers_as_the_original(run, net, waveforms, records):
    answered = np.array(run.model()(waveforms))
    np.testing.assert_allclose(answered, net.outputs["y"], rtol=0, atol=1e-5)
    assert np.ptp(answered, axis=1).min() > 0.01
    assert run.recipe == RECIPE and run.labels == records.labels
    assert run.split == make_split(records, 1).to_dict() and run.held_out
    assert run.finished == {"imported_from": "m3.h5"} and run.history() == {}
    assert "tensorflow" in run.environment["packages"]
    assert run.imported["format"] == "Keras 2 HDF5" and len(run.imported["sha256"]) == 64
    assert str(run.path) not in json.dumps(run.imported)


def test_without_records_no_clips_are_known_and_the_classes_are_enough(run, bare, toy_data):
    assert bare.split is None and bare.held_out is None
    assert sorted(path.name for path in bare.path.iterdir()) == [
        *("done.json", "environment.json", "import.json", "labels.txt"),
        *("model.keras", "recipe.json"),
    ]
    found = [evaluate_run(each, data_dir=toy_data, progress=False) for each in (run, bare)]
    assert found[0] == found[1] and found[0]["imported_from"] == "m3.h5"
    page = (bare.path / "report.html").read_text()
    assert "<h1>residual_blocks on toy_sounds, fold 1 held out, imported from m3.h5</h1>" in page
    assert "seed 0" not in page and "epoch" not in page.partition("Configuration")[0].lower()


def test_records_of_other_classes_are_noted_and_then_refused(
    file, records, toy_data, tmp_path, capsys
):
    turned = records.labels[::-1]
    run = import_run(file, RECIPE, turned, to=tmp_path / "run", data_dir=toy_data)
    assert "the classes of toy_sounds" in capsys.readouterr().err
    assert run.split is None
    with pytest.raises(ValueError, match="clips and classes that .* was imported with"):
        evaluate_run(run, data_dir=toy_data, progress=False)
    with pytest.raises(ValueError, match="Expected the clips with which"):
        compress_run(run, CompressionSettings(), data_dir=toy_data)


def test_other_clips_than_a_known_split_are_refused(run, toy_data, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    split = run.split
    split["test" if "test" in split else "validation"].popitem()
    (tmp_path / "run" / "split.json").write_text(json.dumps(split))
    with pytest.raises(ValueError, match="clips and classes that .* was imported with"):
        evaluate_run(tmp_path / "run", data_dir=toy_data, progress=False)


def test_an_ensemble_takes_it_beside_a_training(run, bare, records, toy_data, tmp_path):
    trained = untrained(RECIPE, records, tmp_path / "trained")
    means = [
        evaluate_ensemble(
            [member.path, trained], to=tmp_path / "to", data_dir=toy_data, progress=False
        )
        for member in (run, bare)
    ]
    assert means[0]["log_loss"] == means[1]["log_loss"]
    other = untrained(dataclasses.replace(RECIPE, fold=2), records, tmp_path / "other")
    for member in (run, bare):
        with pytest.raises(ValueError, match="Expected members that agree in their"):
            evaluate_ensemble([member.path, other], data_dir=toy_data, progress=False)


def test_training_does_not_go_on_in_it_but_from_it(bare, toy_data, tmp_path):
    for resume in (True, False):
        with pytest.raises(ValueError, match="--init-from starts a new one .*, an import"):
            train(RECIPE, run=bare.path, data_dir=toy_data, resume=resume, progress=False)
    tuned = train(
        dataclasses.replace(RECIPE, learning_rate=1e-12),
        run=tmp_path / "tuned",
        init_from=bare.path,
        data_dir=toy_data,
        deterministic=False,
        max_steps=1,
        progress=False,
    )
    ours, theirs = (
        each.model().get_layer("group1_1_conv").get_weights()[0] for each in (tuned, bare)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("known", [True, False])
def test_compression_measures_the_whole_model_itself(known, run, bare, toy_data, tmp_path):
    source = run if known else bare
    small = compress_run(
        source,
        CompressionSettings(until="size=100KB", epochs=1, max_rounds=1, deterministic=False),
        to=tmp_path / "small",
        data_dir=toy_data,
        max_steps=100,
        progress=False,
    )
    whole, pruned = small.rounds()
    # Of this recipe the clips held out are also those that the training is steered by.
    measured = evaluate_run(source, to=tmp_path / "to", data_dir=toy_data, progress=False)
    assert whole["score"] == pytest.approx(measured["accuracy"])
    assert whole["loss"] == pytest.approx(measured["log_loss"], rel=1e-5)
    assert whole["epochs"] == 0 and pruned["epochs"] == 1
    assert small.imported is None and small.round_folder(0).imported is not None
    with pytest.raises(ValueError, match="whose validation score is at least 1 before it"):
        compress_run(
            source,
            CompressionSettings(until="accuracy=1"),
            to=tmp_path / "none",
            data_dir=toy_data,
        )


def test_an_import_that_ends_midway_leaves_no_run(file, records, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_audio.training.importing, "begin_run", stop)
    with pytest.raises(KeyboardInterrupt):
        import_run(file, RECIPE, records.labels, to=tmp_path / "run", data_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".run.lock"]
    monkeypatch.undo()
    # What a kill leaves is taken away by the next.
    (tmp_path / ".run.partial").mkdir()
    (tmp_path / ".run.partial" / "model.keras").write_text("half")
    import_run(file, RECIPE, records.labels, to=tmp_path / "run", data_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.lock", "run"]


def test_only_an_import_is_replaced_and_only_when_forced(file, records, tmp_path):
    def again(to, **options):
        return import_run(file, RECIPE, records.labels, to=to, data_dir=tmp_path, **options)

    first = again(tmp_path / "run")
    with pytest.raises(ValueError, match="or --force to replace the one there. Received: "):
        again(first.path)
    (first.path / ".compressed.lock").touch()
    again(first.path, force=True)
    # What was made of the first is not lost.
    for name in ("metrics.json", "notes"):
        (first.path / name).write_text("{}")
    (first.path / "export").mkdir()
    with pytest.raises(ValueError, match=r"another folder with --to. Received: .*/run with ") as e:
        again(first.path, force=True)
    assert str(e.value).endswith(" with export, metrics.json, notes")
    assert (first.path / "metrics.json").read_text() == "{}"
    trained = untrained(RECIPE, records, tmp_path / "trained")
    (tmp_path / "file").write_text("")
    for taken in (trained, tmp_path / "file", tmp_path):
        with pytest.raises(ValueError, match="Expected a new "):
            again(taken, force=True)
    assert RunFolder(trained).imported is None


def test_what_does_not_fit_is_refused_and_nothing_is_made(file, net, records, tmp_path):
    def refused(said, file=file, recipe=RECIPE, labels=records.labels):
        with pytest.raises(ValueError, match=said):
            import_run(file, recipe, labels, to=tmp_path / "runs" / "run", data_dir=tmp_path)
        assert not (tmp_path / "runs").exists()

    count = len(records.labels)
    refused(f"Expected {count} labels, .* Received: {count - 1} labels", labels=records.labels[1:])
    refused(
        r"kernel has shape \(80, 1, 256\), expected \(80, 2, 256\)",
        recipe=dataclasses.replace(RECIPE, channels=2),
    )
    refused("there are original files of", recipe=ResidualBlocks(normalization="log_mel"))
    code = save(tmp_path / "code.h5", net, config_with_code(tmp_path / "ran"))
    refused("its layer lambda_1 is a Lambda", file=code)
    run = import_run(
        code, RECIPE, records.labels, to=tmp_path / "run", data_dir=tmp_path, arrays_only=True
    )
    assert run.imported["arrays_only"] is True and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"dog\n\nrain\n", "line 2 is empty"),
        (b"dog\n  \n", "line 2 is empty"),
        (b"dog\nrain\ndog\n", "lines 1 and 3 are 'dog'"),
        (b"dog\n\x1b[2Jrain\n", "line 2 is '\\\\x1b"),
        (b"\xff\xfe", "no UTF-8 text"),
        (b"dog\n" * 300_000, "more than a megabyte"),
        (None, "No such file"),
    ],
)
def test_labels_that_are_no_list_of_classes_are_refused(content, said, tmp_path):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_labels(path)


def test_labels_are_read_as_other_systems_write_them(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffHundegebell\r\nRegen, stark\r\n".encode())
    assert read_labels(path) == ["Hundegebell", "Regen, stark"]
