"""Batches from records: what is in them, in which order, and that a late start changes nothing."""

import keras
import numpy as np
import pytest
import soundfile

import data_prep
from keras_audio.data import EvaluationBatches, TrainingBatches, clip_arrays, open_records, pipeline
from keras_audio.layers import PadOrCrop, PadSeconds, WaveformNormalization

SAMPLES = 4000


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


@pytest.fixture(scope="module")
def clip_steps():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, PadOrCrop(SAMPLES)(WaveformNormalization("standard")(waveform)))


@pytest.fixture(scope="module")
def as_they_are():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, keras.layers.Identity()(waveform))


def batches(records, clip_steps, first=0, count=None, *, seed, **options):
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=16, seed=seed, **options)
    count = data.steps_per_pass - first if count is None else count
    return [(x.numpy(), y.numpy()) for x, y in data.steps(first, count)]


def same(first, second):
    return all(
        np.array_equal(a, b)
        for pair in zip(first, second, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def test_evaluation_batches_hold_each_clip_once_in_order(records, clip_steps):
    data = EvaluationBatches(records, [1], clip_steps, batch_size=7)
    pairs = [(x.numpy(), y.numpy()) for x, y in data.dataset]
    assert len(pairs) == data.steps
    assert data.order.tolist() == list(range(len(records.clips([1]))))
    inputs = np.concatenate([x for x, _ in pairs])
    targets = np.concatenate([y for _, y in pairs]).argmax(axis=1)
    clips = records.clips([1])
    assert targets.tolist() == [clip.label for clip in clips]
    for (clip_id, waveform), clip, x in zip(clip_arrays(records, [1]), clips, inputs, strict=True):
        assert clip_id == clip.clip_id
        assert waveform.shape == (clip.samples, 1)
        # Section IV of the paper in NumPy: mean 0, deviation 1, then zeros to the full length.
        wave = waveform.astype(np.float64)
        wave = (wave - wave.mean()) / wave.std()
        expected = np.zeros((SAMPLES, 1))
        expected[: min(len(wave), SAMPLES)] = wave[:SAMPLES]
        np.testing.assert_allclose(x, expected, atol=2e-4)


def test_an_epoch_holds_each_clip_once_and_the_last_batch_is_smaller(records, clip_steps):
    count = len(records.clips([2, 3]))
    epoch = batches(records, clip_steps, seed=1)
    sizes = [len(x) for x, _ in epoch]
    assert len(sizes) == -(-count // 16)
    assert sum(sizes) == count
    assert set(sizes[:-1]) == {16}
    labels = sorted(np.concatenate([y for _, y in epoch]).argmax(axis=1).tolist())
    assert labels == sorted(clip.label for clip in records.clips([2, 3]))


def test_order_depends_on_seed_and_step_alone(records, clip_steps):
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=16, seed=1)
    size = data.steps_per_pass
    both = [(x.numpy(), y.numpy()) for x, y in data.steps(0, 2 * size)]
    first, second = both[:size], both[size:]
    assert same(first, batches(records, clip_steps, seed=1))
    assert not same(first, second)
    assert not same(first, batches(records, clip_steps, seed=2))
    # A training that goes on in the second pass, or inside the first, sees the same.
    assert same(second, batches(records, clip_steps, size, size, seed=1))
    assert same(both[3:-2], batches(records, clip_steps, 3, 2 * size - 5, seed=1))
    assert batches(records, clip_steps, size, 0, seed=1) == []


def test_whole_batches_leave_out_the_rest_of_each_pass(records, clip_steps):
    count = len(records.clips([2, 3]))
    assert count % 16
    steps = 3 * (count // 16)
    found = batches(records, clip_steps, 0, steps, seed=1, whole_batches=True)
    assert {len(x) for x, _ in found} == {16} and len(found) == steps
    middle = batches(records, clip_steps, 5, steps - 5, seed=1, whole_batches=True)
    assert same(found[5:], middle)
    with pytest.raises(ValueError, match="number of training clips.*batch_size=1000"):
        TrainingBatches(records, [2], clip_steps, batch_size=1000, seed=0, whole_batches=True)


@pytest.mark.parametrize("options", [{}, {"keep_inputs": True}, {"crop_samples": 2000}])
def test_the_parts_of_several_workers_are_the_batches_of_one(records, clip_steps, options):
    options |= {"whole_batches": True, "seed": 3}
    alone = batches(records, clip_steps, 5, 9, **options)
    parts = [batches(records, clip_steps, 5, 9, workers=(i, 4), **options) for i in range(4)]
    assert {len(x) for part in parts for x, _ in part} == {4}
    joined = [
        tuple(np.concatenate([part[step][side] for part in parts]) for side in (0, 1))
        for step in range(9)
    ]
    assert same(joined, alone)


def test_several_workers_leave_out_what_fills_no_batch(records, clip_steps):
    assert len(records.clips([2, 3])) % 16
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=16, seed=0, workers=(1, 2))
    assert data.steps_per_pass == len(records.clips([2, 3])) // 16
    with pytest.raises(ValueError, match="multiple of 3, the number of workers.*batch_size=16"):
        TrainingBatches(records, [2, 3], clip_steps, batch_size=16, seed=0, workers=(1, 3))
    for workers in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="number of a worker, from 0.*workers="):
            EvaluationBatches(records, [1], clip_steps, batch_size=4, workers=workers)


@pytest.mark.parametrize("steps", ["one shape", "own lengths"])
def test_several_workers_evaluate_a_share_each(records, clip_steps, as_they_are, steps):
    model = clip_steps if steps == "one shape" else as_they_are
    options = {"batch_size": 3, "max_samples": 3500}
    alone = EvaluationBatches(records, [1], model, **options)
    rows = [row.tobytes() for x, _ in alone.dataset for row in x.numpy()]
    expected = dict(zip(alone.order, rows, strict=True))
    found, shares = {}, []
    for worker in range(3):
        data = EvaluationBatches(records, [1], model, workers=(worker, 3), **options)
        rows = [row for x, _ in data.dataset for row in x.numpy()]
        assert data.steps == len(list(data.dataset))
        found |= {i: row.tobytes() for i, row in zip(data.order, rows, strict=True)}
        shares.append(len(rows))
    assert found == expected and sum(shares) == len(expected)
    if model is clip_steps:
        assert max(shares) - min(shares) <= 1
    # More workers than clips: some have none.
    nothing = EvaluationBatches(records, [1], model, workers=(0, 1000), **options)
    assert list(nothing.dataset) == [] and nothing.steps == len(nothing.order) == 0


def test_inputs_that_are_kept_are_those_made_anew_each_pass(records, clip_steps, monkeypatch):
    made, run = [], pipeline._run
    monkeypatch.setattr(pipeline, "_run", lambda *given: made.append(None) or run(*given))
    data = TrainingBatches(
        records, [2, 3], clip_steps, batch_size=16, seed=1, whole_batches=True, keep_inputs=True
    )
    steps = 2 * data.steps_per_pass
    kept = [(x.numpy(), y.numpy()) for x, y in data.steps(0, steps)]
    again = [(x.numpy(), y.numpy()) for x, y in data.steps(3, steps - 3)]
    assert len(made) == 1  # traced once, and for no later data set
    assert same(kept, batches(records, clip_steps, 0, steps, seed=1, whole_batches=True))
    assert same(kept[3:], again)


def test_what_is_evaluated_is_kept_too(records, clip_steps):
    kept = EvaluationBatches(records, [2], clip_steps, batch_size=16, keep_inputs=True).dataset
    anew = EvaluationBatches(records, [2], clip_steps, batch_size=16).dataset
    first, second, other = ([(x.numpy(), y.numpy()) for x, y in d] for d in (kept, kept, anew))
    assert same(first, second) and same(first, other)
    names = [type(dataset).__name__ for dataset in (kept._input_dataset, anew._input_dataset)]
    assert [name == "CacheDataset" for name in names] == [True, False]


def test_crops_and_what_does_not_fit_are_not_kept(records, clip_steps, as_they_are, monkeypatch):
    how = {"batch_size": 16, "seed": 1, "keep_inputs": True}
    assert TrainingBatches(records, [2], clip_steps, **how)._inputs is not None
    assert TrainingBatches(records, [2], clip_steps, crop_samples=100, **how)._inputs is None
    # Of clips that keep their lengths no array can be made.
    assert TrainingBatches(records, [2], as_they_are, **how)._inputs is None
    data = TrainingBatches(records, [2], clip_steps, **how)
    size = 2 * len(records.clips([2])) * SAMPLES * 4
    for memory, kept in ((size, True), (size - 1, False)):
        data = TrainingBatches(records, [2], clip_steps, memory=memory, **how)
        assert data.in_memory and (data._inputs is not None) == kept


def test_a_random_crop_is_a_piece_of_the_clip_at_its_own_place(records, as_they_are):
    clips = [x for _, x in clip_arrays(records, [2, 3])]
    size = max(len(clip) for clip in clips) // 2
    found = batches(records, as_they_are, 0, 12, seed=4, crop_samples=size)
    crops = np.concatenate([x for x, _ in found])
    starts = [find(crop[:, 0], clips) for crop in crops]
    assert None not in starts
    longer = [start / room for start, room in starts if room > 0]
    assert len(longer) > len(starts) / 2
    assert min(longer) < 0.05 and max(longer) > 0.95 and 0.4 < np.mean(longer) < 0.6
    again = batches(records, as_they_are, 7, 5, seed=4, crop_samples=size)
    assert same(found[7:], again)
    fixed = batches(records, as_they_are, seed=4, crop_samples=size, random_crop=False)
    for crop in np.concatenate([x for x, _ in fixed]):
        assert any(np.array_equal(crop[: len(c)], c[:size]) for c in clips)


def find(crop, clips):
    """Where a crop begins in its clip, and at how many other samples it could; None if nowhere."""
    for clip in clips:
        kept = min(len(clip), len(crop))
        if crop[kept:].any():
            continue
        for start in np.flatnonzero(clip[: len(clip) - kept + 1, 0] == crop[0]):
            if np.array_equal(clip[start : start + kept, 0], crop[:kept]):
                return start, len(clip) - kept
    return None


@pytest.mark.parametrize("memory", [None, 0], ids=["in memory", "streamed"])
def test_channels_of_cut_clips_stay_apart(memory, tmp_path):
    source = tmp_path / "sounds"
    for label in ("near", "far"):
        (source / label).mkdir(parents=True)
        for number, samples in enumerate((3000, 5000)):
            noise = np.random.default_rng(number).integers(-999, 999, (samples, 2), np.int16)
            soundfile.write(source / label / f"{number}.wav", noise, 8000)
    arguments = {"sample_rate": 8000, "channels": 2, "data_dir": tmp_path}
    data_prep.prepare("audio_folder", source=source, progress=False, **arguments)
    records = open_records("audio_folder", **arguments)
    stereo = keras.Input((None, 2))
    identity = keras.Model(stereo, keras.layers.Identity()(stereo))
    whole = [audio for _, audio in clip_arrays(records, [1, 2])]
    cut = [np.pad(audio[:SAMPLES], [(0, max(0, SAMPLES - len(audio))), (0, 0)]) for audio in whole]
    data = TrainingBatches(
        records, [1, 2], identity, batch_size=4, seed=0, crop_samples=SAMPLES,
        random_crop=False, memory=memory,
    )  # fmt: skip
    ((trained_on, _),) = data.steps(0, 1)
    assert sorted(map(bytes, trained_on.numpy())) == sorted(map(bytes, cut))
    options = {"batch_size": 1, "max_samples": SAMPLES, "memory": memory}
    evaluated = EvaluationBatches(records, [1, 2], identity, **options)
    for index, (inputs, _) in zip(evaluated.order, evaluated.dataset, strict=True):
        assert np.array_equal(inputs[0], whole[index][:SAMPLES])


def test_clips_of_equal_length_are_evaluated_together(records):
    waveform = keras.Input((None, 1))
    whole_tenths = keras.Model(waveform, PadSeconds(800, 8, 100)(waveform))
    data = EvaluationBatches(records, [1], whole_tenths, batch_size=4, max_samples=6000)
    clips = [x for _, x in clip_arrays(records, [1])]
    row = sizes = 0
    for x, y in data.dataset:
        sizes += 1
        for clip, target in zip(x.numpy(), y.numpy(), strict=True):
            expected = clips[data.order[row]][:6000]
            assert np.array_equal(clip[: len(expected)], expected)
            assert not clip[len(expected) :].any() and len(clip) - len(expected) < 800
            assert target.argmax() == records.clips([1])[data.order[row]].label
            row += 1
    assert (row, sizes) == (len(clips), data.steps)
    assert sorted(data.order.tolist()) == list(range(len(clips)))


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    """One class in most clips, a rare one, and clips of both or none; two pitch variants."""
    folder = tmp_path_factory.mktemp("tags")
    rng = np.random.default_rng(0)
    lines = ["filename,labels,fold"]
    for number in range(24):
        labels = {0: "rare", 1: "common|rare", 2: ""}.get(number % 12, "common")
        length = 3000 + 100 * number
        soundfile.write(folder / f"{number}.wav", rng.uniform(-0.3, 0.3, length), 8000)
        lines.append(f"{number}.wav,{labels},{1 + number % 2}")
    (folder / "tags.csv").write_text("\n".join(lines) + "\n")
    data_prep.prepare(
        "audio_folder",
        source=folder / "tags.csv",
        sample_rate=8000,
        data_dir=folder / "data",
        dataset_name="tags",
        pitch_variants=2,
        progress=False,
    )
    return open_records("tags", sample_rate=8000, data_dir=folder / "data", pitch_variants=2)


def test_targets_are_multi_hot(tags, as_they_are):
    data = EvaluationBatches(tags, [1, 2], as_they_are, batch_size=3)
    targets = np.concatenate([y.numpy() for _, y in data.dataset])
    clips = tags.clips([1, 2])
    for index, target in zip(data.order, targets, strict=True):
        assert np.flatnonzero(target).tolist() == list(clips[index].labels)
    assert {tuple(target) for target in targets} == {(0, 1), (1, 0), (1, 1), (0, 0)}


@pytest.mark.parametrize("memory", [None, 0])
def test_balanced_sampling_draws_all_classes_equally_often(tags, as_they_are, memory):
    data = TrainingBatches(
        tags,
        [1, 2],
        as_they_are,
        batch_size=4,
        seed=0,
        crop_samples=1000,
        balanced=True,
        whole_batches=True,
        memory=memory,
    )
    passes = 20
    targets = np.concatenate([y.numpy() for _, y in data.steps(0, passes * data.steps_per_pass)])
    assert len(targets) == passes * 24  # a pass is as long as without
    common, rare = targets.sum(axis=0)
    # As PANNs draw: a class at random, then one of its clips. Clips of no class never come.
    clips = tags.clips([1, 2])
    sizes = np.sum([[label in clip.labels for label in (0, 1)] for clip in clips], axis=0)
    rates = np.array([sum(0.5 / sizes[label] for label in clip.labels) for clip in clips])
    hot = np.array([[label in clip.labels for label in (0, 1)] for clip in clips])
    expected = (rates @ hot) * len(targets)
    np.testing.assert_allclose([common, rare], expected, rtol=0.05)
    assert targets.any(axis=1).all()


def test_training_hears_the_pitch_variants_and_evaluation_the_clip(tags, as_they_are):
    examples = {
        example["clip_id"].decode(): example for example in tags.dataset([1, 2]).as_numpy_iterator()
    }
    lengths = {len(example["audio"]): example for example in examples.values()}
    data = TrainingBatches(tags, [1, 2], as_they_are, batch_size=1, seed=0)
    drawn = {}
    for x, _ in data.steps(0, 6 * data.steps_per_pass):
        example = lengths[x.shape[1]]
        variants = example["pitch_shifted"].reshape(2, -1, 1) / np.float32(32768)
        matches = [np.array_equal(x[0], variant) for variant in variants]
        assert sum(matches) == 1
        drawn.setdefault(x.shape[1], set()).add(matches.index(True))
    assert len(drawn) == 24
    assert sum(len(found) == 2 for found in drawn.values()) >= 20  # in six draws, 31 of 32
    measured = EvaluationBatches(tags, [1, 2], as_they_are, batch_size=1)
    for x, _ in measured.dataset:
        assert np.array_equal(x[0], lengths[x.shape[1]]["audio"] / np.float32(32768))


def test_unknown_records_and_folds_are_named(records, toy_data):
    with pytest.raises(ValueError, match="one of 1, 2, 3, 4, 5.*fold=6"):
        records.dataset([6])
    with pytest.raises(ValueError, match="prepare toy_sounds --sample-rate 16000.*8000 Hz"):
        open_records("toy_sounds", sample_rate=16000, data_dir=toy_data)
    with pytest.raises(ValueError, match="keras-audio prepare esc50"):
        open_records("esc50", sample_rate=8000, data_dir=toy_data)
