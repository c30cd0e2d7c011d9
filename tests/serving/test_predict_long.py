"""Long files are heard in blocks, and answered as if they had been read whole."""

import numpy as np
import pytest
import soundfile
from small_model import CLIP, LABELS, RATE

from keras_audio import audio, audio_stream
from keras_audio.serving import load_classifier, predict, predict_files
from keras_audio.serving.classifier import Classifier
from keras_audio.serving.windows import cut_windows


@pytest.fixture(scope="module")
def classifier(exported):
    return load_classifier(exported)


@pytest.fixture
def soon_long(monkeypatch):
    """Two seconds and more are long, and blocks are a tenth."""
    monkeypatch.setattr(audio_stream, "WHOLE_SAMPLES", 2 * RATE)
    monkeypatch.setattr(audio_stream, "_SMALL_FILE", 0)
    monkeypatch.setattr(audio_stream, "_BLOCK_FRAMES", RATE // 10)


def _changing(random, seconds, rate, channels=1):
    """Noise that grows louder, so that a window forgotten or heard twice is seen."""
    sound = random.uniform(-0.9, 0.9, (round(seconds * rate), channels))
    sound[: len(sound) // 2] = np.cumsum(sound[: len(sound) // 2], axis=0) / 50
    return np.clip(sound * np.linspace(0.01, 1, len(sound))[:, np.newaxis], -1, 1)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 125, 199, 200, 210, 1000, 1001])
@pytest.mark.parametrize("hop", [None, 1, 7, 50, 99, 100])
@pytest.mark.parametrize("block", [1, 30, 100, 101, 350])
def test_windows_of_blocks_are_those_of_the_whole(length, hop, block):
    classifier = Classifier(None, LABELS, sample_rate=RATE, channels=1, clip_samples=100)
    sound = np.arange(length)[:, np.newaxis]
    blocks = [sound[start : start + block] for start in range(0, length, block)]
    windows = [window.tolist() for window in cut_windows(blocks, 100, hop)]
    step = hop or 100
    starts = [0] if length <= 100 else list(range(0, length - 99, step))
    starts += [length - 100] * (starts[-1] + 100 < length)
    assert windows == [sound[start : start + 100].tolist() for start in starts]
    assert windows == [window.tolist() for window in classifier.windows(sound, hop)]


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", RATE, 1), ("b.flac", 44100, 2), ("c.ogg", 16000, 1), ("d.mp3", 22050, 2)],
)
@pytest.mark.parametrize("hop", [None, CLIP // 3])
def test_a_long_file_is_answered_as_if_read_whole(
    classifier, soon_long, tmp_path, random, name, rate, channels, hop
):
    path = tmp_path / name
    soundfile.write(path, _changing(random, 21.3, rate, channels), rate)
    (streamed,) = predict_files(classifier, path, hop=hop, batch_size=5)
    waveform, _ = audio.read_audio(path, RATE, 1)
    whole = classifier.predict_batch([audio.to_pcm16(waveform) / 32768], hop=hop, batch_size=5)[0]
    assert streamed.error is None and streamed.path == path
    np.testing.assert_array_equal(streamed.probabilities, whole)


def test_long_and_short_files_in_their_order(classifier, soon_long, tmp_path, random, monkeypatch):
    for number, seconds in enumerate((0.3, 7, 1, 9, 5, 0.4)):
        soundfile.write(tmp_path / f"{number}.wav", _changing(random, seconds, RATE), RATE)
    damaged = tmp_path / "2b.flac"
    soundfile.write(damaged, _changing(random, 30, RATE), RATE)
    damaged.write_bytes(damaged.read_bytes()[:-9999])
    streamed = list(predict_files(classifier, tmp_path))
    monkeypatch.setattr(audio_stream, "WHOLE_SAMPLES", 10**9)
    whole = list(predict_files(classifier, tmp_path))
    assert [one.path.name for one in streamed] == sorted(path.name for path in tmp_path.iterdir())
    for one, other in zip(streamed, whole, strict=True):
        assert (one.path, one.error) == (other.path, other.error)
        if one.error is None:
            np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-6)
    (bad,) = [one for one in streamed if one.error is not None]
    assert bad.path == damaged and str(damaged) in bad.error and "cannot be decoded" in bad.error


def test_of_a_long_file_few_blocks_are_made_before_they_are_heard(
    classifier, soon_long, tmp_path, random, monkeypatch
):
    made, ahead = 0, []

    def counted(*arguments, blocks=predict.stream_audio, **options):
        nonlocal made
        for block in blocks(*arguments, **options):
            made += len(block)
            yield block

    def serve(batch, heard=[0]):  # noqa: B006 - kept from call to call
        heard[0] += batch.shape[0] * batch.shape[1]
        ahead.append(made - heard[0])
        return {"probabilities": np.full((len(batch), len(LABELS)), 1 / 3)}

    monkeypatch.setattr(predict, "stream_audio", counted)
    monkeypatch.setattr(classifier, "_serve", serve)
    soundfile.write(tmp_path / "a.wav", _changing(random, 60, RATE), RATE)
    (prediction,) = predict_files(classifier, tmp_path, batch_size=4)
    assert prediction.error is None and made == 60 * RATE
    assert max(ahead) < 3 * RATE // 10 and len(ahead) == 30


def test_a_model_that_refuses_a_long_file_names_it(classifier, soon_long, tmp_path, monkeypatch):
    def refuse(batch):
        return {"probabilities": np.full((len(batch), len(LABELS)), np.nan)}

    monkeypatch.setattr(classifier, "_serve", refuse)
    soundfile.write(tmp_path / "a.wav", np.zeros(5 * RATE), RATE)
    (prediction,) = predict_files(classifier, tmp_path)
    assert "that the model can take" in prediction.error
    assert str(tmp_path / "a.wav") in prediction.error


def test_blocks_that_do_not_fit(classifier):
    assert classifier.predict_blocks([np.zeros(900), np.zeros((17, 1))]).shape == (3,)
    for blocks, message in (
        ([], "Received: no blocks"),
        ([np.zeros((100, 1)), np.zeros((100, 2))], r"waveform \(samples, 1\)"),
        ([np.zeros((9000, 1)), np.full((100, 1), np.nan)], "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            classifier.predict_blocks(blocks)
    with pytest.raises(ValueError, match="hop of 1 to 4000"):
        list(predict_files(classifier, "a.wav", hop=4001))
    with pytest.raises(ValueError, match="batch size of 1 or more"):
        classifier.predict_blocks([np.zeros(9)], batch_size=0)
