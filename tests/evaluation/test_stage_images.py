"""The images of the methods of resizing in a report: what networks are shown, drawn pixel by pixel.

Toy sounds of a second at 8 kHz have 32 frames; images are of 20 of them, and of fewer.
"""

import base64
import io
import re
import types
import xml.etree.ElementTree as ElementTree

import librosa
import matplotlib
import numpy as np
import pytest
from drawings import SVG, texts
from report_page import Page, inputs, report
from untrained_runs import untrained

from keras_audio.data import clip_arrays, open_records
from keras_audio.evaluation import evaluate_run, stage_images
from keras_audio.evaluation.held_out import HeldOut
from keras_audio.files import write_csv, write_json
from keras_audio.models import cut_model
from keras_audio.recipes import ProgressiveResizing, ResidualBlocks

FOLD = 2
RECIPE = ProgressiveResizing(
    dataset="toy_sounds",
    fold=FOLD,
    sample_rate=8000,
    network="resnet10",
    num_filters=4,
    num_mels=32,
    frames=20,
    method="bilinear",
    stages="16x8:2:5e-3,16x8:1:5e-4/3,32x20:2:5e-6/3:constant",
)
SIZES = [(32, 20), (16, 8), (16, 8), (16, 8)]


def changed(**fields):
    return ProgressiveResizing(**{**vars(RECIPE), **fields})


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


@pytest.fixture(scope="module")
def clip(records):
    return next(audio for _, audio in clip_arrays(records, [FOLD]))


@pytest.fixture(scope="module")
def pictures(clip):
    return stage_images.resized_pictures(RECIPE, clip)


def test_they_are_what_the_networks_are_shown(clip, pictures):
    assert [picture.title for picture in pictures] == [
        "full resolution, 32x20",
        "mel, 16x8",
        "bilinear, 16x8",
        "combined, 16x8",
    ]
    assert [picture.image.shape for picture in pictures] == SIZES
    for picture, method in zip(pictures[1:], stage_images.METHODS, strict=True):
        recipe = changed(method=method).stage_recipes()[0]
        clip_steps, _ = cut_model(recipe.build_model(3), recipe.clip_boundary)
        shown = np.array(clip_steps(clip[np.newaxis]))[0, :, :, 0]
        np.testing.assert_allclose(picture.image, shown, atol=1e-6)
    recipe = RECIPE.stage_recipes()[-1]
    clip_steps, _ = cut_model(recipe.build_model(3), recipe.clip_boundary)
    shown = np.array(clip_steps(clip[np.newaxis]))[0, :, :, 0]
    np.testing.assert_allclose(pictures[0].image, shown, atol=1e-6)
    # The mel method hears less of the clip: 8 of 20 frames, of 256 samples each.
    assert [picture.seconds for picture in pictures] == [0.64, 0.256, 0.64, 0.64]


def test_of_several_channels_the_mean(clip):
    stereo = np.concatenate([clip, clip[::-1]], axis=1)
    recipe = changed(channels=2)
    (full, *_) = stage_images.resized_pictures(recipe, stereo)
    clip_steps, _ = cut_model(recipe.stage_recipes()[-1].build_model(3), "log_mel_image")
    shown = np.array(clip_steps(stereo[np.newaxis]))[0]
    np.testing.assert_allclose(full.image, (shown[..., 0] + shown[..., 1]) / 2, atol=1e-6)


def test_without_small_stages_the_paper_s_relation(clip):
    recipe = changed(method="baseline", stages="32x20:3:5e-3")
    sizes = [picture.image.shape for picture in stage_images.resized_pictures(recipe, clip)]
    assert sizes == SIZES


def drawn_images(svg):
    """The pictures embedded in an SVG, (rows, columns, 3), and whether they are upside down."""
    found = []
    for image in ElementTree.fromstring(svg).iter(f"{SVG}image"):
        data = image.get("href").removeprefix("data:image/png;base64,")
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")
        upright = float(re.findall(r"[-\d.]+", image.get("transform"))[3])
        found.append((pixels[..., :3], upright < 0))
    return found


def test_every_pixel_is_drawn(pictures):
    svg = stage_images.draw_pictures(pictures, 8000, "a <clip> & more")
    images = drawn_images(svg)
    assert len(images) == 8 and svg.count("image-rendering:pixelated") == 8
    for picture, (whole, flipped), (part, _) in zip(pictures, images, images[4:], strict=False):
        # Low frequencies are the first row: the one below is drawn where the picture is flipped.
        assert flipped
        expected = matplotlib.colormaps["magma"](picture.image)[..., :3]
        np.testing.assert_allclose(whole, expected, atol=0.005)
        places = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
        assert (places == part).all(axis=(-3, -2, -1)).any()
        assert 0.4 < part.shape[0] / whole.shape[0] < 0.75 and part.shape[1] < whole.shape[1]
    shown = texts(svg)
    assert {picture.title for picture in pictures} <= set(shown)
    assert shown.count("magnified") == 4 and {"kHz", "seconds", "0.5", "1", "2"} <= set(shown)
    assert "4" not in shown  # is where the image ends
    assert "<clip>" not in svg and "a &lt;clip&gt; &amp; more" in svg
    # Colours but those of the images are the page's.
    style = " ".join(re.findall(r'style="([^"]*)"', svg))
    assert "#" not in re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", style)


def test_the_liveliest_part_is_magnified():
    image = np.full((32, 20), 0.5)
    image[12:28:2, 3:7] = 1.0
    full = stage_images.Picture("full", image, 2.0)
    small = stage_images.Picture("small", image[::2, :10], 1.0)
    svg = stage_images.draw_pictures([full, small], 8000, "stripes")
    boxes = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        if "stroke: var(--frame," in path.get("style", ""):
            points = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d")), float)
            boxes.append((points.min(axis=0), points.max(axis=0)))
    assert len(boxes) == 2
    # Within the second that both hear: 0.4 s of it, and half the height.
    widths, heights = zip(*(high - low for low, high in boxes), strict=True)
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert heights[0] == pytest.approx(heights[1], abs=0.1)
    times, shares = stage_images._liveliest_part(full, 1.0)
    assert times[1] - times[0] == pytest.approx(0.4)
    assert shares[1] - shares[0] == 0.5
    np.testing.assert_allclose(times, (0.3, 0.7))
    assert shares[0] <= 12 / 32 and shares[1] >= 27 / 32


def test_the_clip_with_most_contrast_whose_sound_fills_the_image(records, toy_data):
    held_out = HeldOut(RECIPE, toy_data)
    found = stage_images.stage_images(RECIPE, held_out)
    contrasts = {}
    for clip_id, audio in clip_arrays(records, [FOLD]):
        sound, _ = librosa.effects.trim(audio[:, 0], top_db=60)
        if len(sound) < 19 * 256:
            continue
        power = librosa.feature.melspectrogram(
            y=sound, sr=8000, n_fft=1024, hop_length=256, n_mels=32, pad_mode="reflect"
        )
        decibels = librosa.power_to_db(power)
        contrasts[clip_id] = decibels[:, :20].std() / np.ptp(decibels)
    best = max(contrasts, key=contrasts.get)
    label = next(clip.label for clip in held_out.clips if clip.clip_id == best)
    assert found["caption"].startswith(f"{best}, of the class {records.labels[label]}. The mel ")
    assert "hears the first 0.26 seconds" in found["caption"]
    assert "This run trained with the bilinear method: 16x8, then 32x20." in found["caption"]
    assert best in found["picture"]
    # Where no sound is long enough, the first clip.
    long = changed(frames=100, stages="16x8:1:5e-3,32x100:1:5e-3")
    first, _ = next(clip_arrays(records, [FOLD]))
    assert stage_images.stage_images(long, held_out)["caption"].startswith(f"{first}, of")
    whole = changed(method="baseline", stages="32x20:1:5e-3")
    said = stage_images.stage_images(whole, held_out)["caption"]
    assert "This run trained with full resolution alone: 32x20." in said


def test_other_recipes_have_none():
    assert stage_images.stage_images(ResidualBlocks(), types.SimpleNamespace()) is None


def test_they_are_a_section_of_the_report(tmp_path, pictures):
    images = {"picture": stage_images.draw_pictures(pictures, 8000, "x"), "caption": "A & <b>"}
    page, text = report(tmp_path, **inputs(images=images))
    assert images["picture"] in text and "A &amp; &lt;b&gt;" in text
    assert "#images" in page.attributes("a", "href")
    assert "images" in page.attributes("section", "id")
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("data:", "#"))
    assert "images" not in report(tmp_path, **inputs())[0].attributes("section", "id")


def test_the_report_of_a_run_with_stages(records, toy_data, tmp_path):
    run = untrained(RECIPE, records, tmp_path / "run")
    rows = [
        {"stage": stage, "epoch": epoch, "iteration": 10 * epoch, "seconds": 2.0 * epoch}
        | {"loss": 1.0 / epoch, "val_accuracy": 0.1 * epoch}
        for epoch, stage in enumerate((1, 1, 2, 3, 3), start=1)
    ]
    write_csv(run / "history.csv", rows[0], rows)
    done = {"epochs": 5, "iterations": 50, "best_epoch": 4, "steps_per_pass": 10}
    write_json(run / "done.json", done)
    evaluate_run(run, data_dir=toy_data, progress=False)
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    (table,) = [rows for caption, rows in page.tables.items() if caption.startswith("Stages.")]
    # Peaks of two cycles, of 20 and of 10 steps, and a constant.
    assert [row[:2] + row[3:4] for row in table[1:]] == [
        ["1: 16x8", "1–2", "0.005"],
        ["2: 16x8", "3–3", "0.0005"],
        ["3: 32x20", "4–5", "5e-06"],
    ]
    assert "This run trained with the bilinear method: 16x8, then 32x20." in text
    assert text.count("best epoch 4") >= 3

    # Before its end, and of stages that were fitted again by another plan.
    (run / "done.json").unlink()
    evaluate_run(run, data_dir=toy_data, progress=False)
    table = next(
        rows
        for caption, rows in Page((run / "report.html").read_text("utf-8")).tables.items()
        if caption.startswith("Stages.")
    )
    assert [row[3] for row in table[1:]] == ["–", "–", "–"]
    write_json(run / "done.json", done)
    write_csv(run / "history.csv", ["epoch", "loss"], [{"epoch": 1, "loss": 1.0}])
    evaluate_run(run, data_dir=toy_data, progress=False)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "Stages." not in text and "Learning rate" not in text
