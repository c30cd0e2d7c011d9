"""The model card against what other means find in the run, for every recipe and kind of run."""

import collections
import json
import os
import pathlib
import re
import shlex
import shutil

import keras
import numpy as np
import pytest
import soundfile
import yaml
from markdown_it import MarkdownIt
from untrained_runs import untrained, write_scenes

import data_prep
import keras_audio
from keras_audio.cli_parser import build_parser
from keras_audio.cli_recipe import asked_recipe
from keras_audio.data import open_records
from keras_audio.evaluation import card_facts, evaluate_run, latency, write_model_card
from keras_audio.evaluation.citations import citations
from keras_audio.evaluation.published import published_papers
from keras_audio.files import write_json
from keras_audio.recipes import list_recipes, recipe_class
from keras_audio.training import RunFolder

REPOSITORY = pathlib.Path(__file__).parent.parent.parent


def parts_of(card):
    """The metadata of a card as YAML is read, its text, and its sections by their headings."""
    _, head, text = card.split("---\n", 2)
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    return yaml.safe_load(head), text, sections


def rows_of(section, column=0):
    """The rows of all tables of a section by the text of one column, as lists of cells."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return {row[column].strip(): [cell.strip() for cell in row] for row in cells}


def rendered(text):
    """The page as GitHub makes it of CommonMark with tables."""
    return MarkdownIt().enable("table").render(text)


def plain_audio(seconds, rate=8000, seed=0):
    """Noise with the samples of so many seconds."""
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))


@pytest.fixture(scope="module")
def data(tmp_path_factory, toy_data):
    """Toy sounds in the forms that all recipes want."""
    folder = tmp_path_factory.mktemp("data")
    os.symlink(toy_data / "toy_sounds", folder / "toy_sounds")
    for rate, resampling in ((22050, "soxr"), (44100, "soxr"), (18000, "fourier")):
        data_prep.prepare(
            "toy_sounds", sample_rate=rate, resampling=resampling, data_dir=folder, progress=False
        )
    return folder


# The smallest of each recipe, and the least samples that its network takes.
RECIPES = {
    "residual_blocks": ({"network": "m3", "first_stride": 16, "duration": 0.5}, 1),
    "log_mel": ({"normalization": "log_mel", "duration": 1.0}, 320),
    "erann": ({"s_m": 3, "width": 1, "duration": 1.0, "crop_duration": 0.8}, 1),
    "two_path": ({"num_filters": 2, "duration": 1.0, "crop_frames": None}, 1),
    "binaural_waveforms": ({"network": "c", "duration": 0.5}, 1),
    "progressive_resizing": ({"network": "resnet10", "num_filters": 4}, 1),
}


def test_every_recipe_is_tried_and_has_a_paper():
    tried = {"residual_blocks" if name == "log_mel" else name for name in RECIPES}
    assert tried == {paper.recipe for paper in published_papers()} == set(list_recipes())


@pytest.fixture(scope="module", params=RECIPES)
def case(request, data, tmp_path_factory):
    """A run that was measured, its card, and the facts."""
    settings, least = RECIPES[request.param]
    name = "residual_blocks" if request.param == "log_mel" else request.param
    recipe = recipe_class(name).for_dataset("toy_sounds", fold=5, **settings)
    records = open_records("toy_sounds", data_dir=data, **recipe.records_form)
    run = untrained(recipe, records, tmp_path_factory.mktemp("runs") / "run")
    metrics = evaluate_run(run, data_dir=data, progress=False)
    path, facts = write_model_card(run, data_dir=data, speed=False)
    return RunFolder(run), path.read_text(encoding="utf-8"), facts, metrics, least


def test_metadata_are_what_the_hub_reads(case):
    run, card, _, metrics, _ = case
    head, _, _ = parts_of(card)
    assert head["license"] == "unknown"
    assert (head["library_name"], head["pipeline_tag"]) == ("keras", "audio-classification")
    assert head["datasets"] == ["toy_sounds"] and run.recipe.model_name in head["tags"]
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert model["name"] == "run" and result["task"]["type"] == "audio-classification"
    assert result["dataset"]["type"] == "toy_sounds" and result["dataset"]["split"] == "fold 5"
    measured = {entry["type"]: entry["value"] for entry in result["metrics"]}
    assert list(measured) == head["metrics"]
    assert measured == {name: round(metrics[name], 4) for name in head["metrics"]}
    assert set(measured) == {"accuracy", "balanced_accuracy", "mean_average_precision"}


def test_classes_and_clips_are_those_of_the_files(case):
    run, card, _, metrics, _ = case
    _, _, sections = parts_of(card)
    split = json.loads((run.path / "split.json").read_text())
    labels = (run.path / "labels.txt").read_text().splitlines()
    table = rows_of(sections["Data"], column=1)
    counts = [
        collections.Counter(clip["label"] for clip in clips.values()) for clips in split.values()
    ]
    for index, label in enumerate(labels):
        row = table[f"`{label}`"]
        assert row[0] == str(index)
        assert row[2:] == [str(count[index]) for count in counts]
    parts = rows_of(sections["Data"])
    names = ["training", "validation", "test"][: len(split)]
    folds = ["1, 2, 3, 4", "5"]
    if run.recipe.validation == "next":  # after the last fold comes the first
        folds = ["2, 3, 4", "1", "5"]
    else:
        names[1] = "validation and test"
    for name, fold, clips in zip(names, folds, split.values(), strict=True):
        # Each toy recording is in one fold, and has one or more clips.
        assert parts[name][1:3] == [fold, str(len(clips))]
        assert 0 < int(parts[name][3]) <= len(clips)
    measured = rows_of(sections["Metrics"])
    for row in metrics["per_class"]:
        assert measured[f"`{row['label']}`"][1] == str(row["support"])
        assert measured[f"`{row['label']}`"][3] == f"{row['recall']:.3f}"
    assert measured["accuracy"][1] == f"{100 * metrics['accuracy']:.1f} %"


def test_sizes_are_counted_another_way(case):
    run, card, facts, _, _ = case
    _, _, sections = parts_of(card)
    model = keras.models.load_model(run.path / "model.keras", compile=False)
    rows = rows_of(sections["Size"])
    assert rows["parameters"][1] == f"{model.count_params():,}"
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert rows["of these trainable"][1] == f"{trainable:,}"
    assert rows["`model.keras`"][1] == f"{(run.path / 'model.keras').stat().st_size:,} bytes"
    assert facts["sizes"]["macs"] > 1000


def test_the_least_length_is_taken_and_no_less(case):
    run, card, facts, _, least = case
    assert facts["input"]["min_samples"] == least
    _, _, sections = parts_of(card)
    said = "one sample" if least == 1 else f"{least} samples ({least / 8000} s)"
    assert rows_of(sections["Input"])["least length"][1] == said
    model = run.model()
    noise = plain_audio(1)[np.newaxis, :, np.newaxis].astype("float32")
    noise = np.repeat(noise, run.channels, axis=-1)
    assert np.isfinite(model(noise[:, :least])).all()
    if least > 1:
        with pytest.raises(ValueError, match=f"at least {least} samples"):
            model(noise[:, : least - 1])
        assert f"fewer than {least} samples" in sections["Limits"]


def test_the_command_trains_this_recipe(case):
    run, card, _, _, _ = case
    (command,) = re.findall(r"^keras-audio train .*", card, re.MULTILINE)
    options = build_parser().parse_args(shlex.split(command)[1:])
    assert asked_recipe(options) == run.recipe


def test_the_snippet_of_the_card_names_the_sound(case, tmp_path, monkeypatch):
    run, card, _, _, _ = case
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    shutil.copytree(run.path, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    soundfile.write("dog.wav", plain_audio(1.5, 16000), 16000)
    names = {}
    exec(snippet, names)
    probabilities = names["probabilities"]
    assert list(probabilities) == run.labels
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)


def test_it_renders(case):
    _, card, _, _, _ = case
    _, text, sections = parts_of(card)
    headings = ["Use", "Data", "Input", "Metrics", "Size", "Speed", "Limits", "Licence", "Citation"]
    assert list(sections) == headings
    page = rendered(text)
    assert len(re.findall("<h1>", page)) == 1 and len(re.findall("<table>", page)) == 6
    outside = re.sub(r"<code.*?</code>", "", page, flags=re.DOTALL)
    assert "|" not in outside and "{%" not in card and "None" not in card
    assert "\n\n\n" not in card


def test_what_is_chosen_by_the_held_out_fold_is_said_to_flatter(case):
    run, card, _, _, _ = case
    flatters = "These numbers flatter" in card
    assert flatters == (run.recipe.validation == "held_out" and not run.recipe.keeps_last)


def test_without_records_the_folds_are_those_of_the_data_set(case, tmp_path):
    run, _, facts, _, _ = case
    alone = card_facts(run.path, data_dir=tmp_path, speed=False)
    for part, known in zip(alone["data"]["parts"], facts["data"]["parts"], strict=True):
        assert part == known | {"recordings": None}
    assert {key: value for key, value in alone.items() if key != "data"} == {
        key: value for key, value in facts.items() if key != "data"
    }


# Other kinds of runs, all of one small network. -------------------------------------------------


@pytest.fixture
def run(toy_data, tmp_path):
    """An untrained run of which nothing was measured."""
    settings = RECIPES["residual_blocks"][0]
    recipe = recipe_class("residual_blocks").for_dataset("toy_sounds", fold=2, **settings)
    return untrained(
        recipe, open_records("toy_sounds", sample_rate=8000, data_dir=toy_data), tmp_path / "run"
    )


def card_of(run, **arguments):
    path, facts = write_model_card(run, speed=False, **arguments)
    return *parts_of(path.read_text(encoding="utf-8")), facts


def test_what_is_missing_is_said_and_not_made_up(run, tmp_path):
    head, text, sections, facts = card_of(run, data_dir=tmp_path)
    assert "model-index" not in head and "metrics" not in head
    assert "Not measured" in sections["Metrics"] and "Not measured" in sections["Speed"]
    assert "keras-audio evaluate RUN" in sections["Metrics"]
    assert "The training has not ended" in text
    assert "not recorded" in text and "not known here" in sections["Data"]
    assert facts["metrics"] is None and facts["speed"] is None
    assert json.loads(json.dumps(facts)) == facts


def test_metrics_of_other_weights_are_noticed(run, toy_data):
    metrics = evaluate_run(run, data_dir=toy_data, progress=False)
    done = {"epochs": 3, "best_epoch": 2, "best_value": metrics["accuracy"], "kept": "best"}
    done |= {"monitor": "val_accuracy", "seconds": 7.0, "iterations": 9}
    write_json(run / "done.json", done)
    _, text, sections, facts = card_of(run, data_dir=toy_data)
    assert facts["metrics"]["differs"] is None and "may not be" not in text
    assert "number 2 of" in sections["Metrics"]
    write_json(run / "done.json", done | {"best_value": 0.99})
    _, _, sections, _ = card_of(run, data_dir=toy_data)
    assert "may not be the metrics of these weights" in sections["Metrics"]
    assert "99.0 %" in sections["Metrics"]


@pytest.mark.parametrize("split", [None, {}, {"train": {}, "validation": {}}, "whole"])
def test_an_import_claims_no_training(run, split):
    if split is None:
        (run / "split.json").unlink()
    elif split != "whole":
        write_json(run / "split.json", split)
    write_json(run / "import.json", {"source": "m3`s.h5", "sha256": "0f", "model": "m3"})
    write_json(run / "done.json", {"imported_from": "m3`s.h5"})
    head, text, sections, facts = card_of(run)
    assert "imported from ``m3`s.h5``" in text and "nothing was trained here" in text
    assert "keras-audio train" not in text and "datasets" not in head
    assert "not known here" in sections["Data"] and "not known here" in sections["Licence"]
    assert "CC0" not in sections["Licence"]
    assert [part["name"] for part in facts["data"]["parts"]] == (
        ["test"] if split == "whole" else []
    )
    assert facts["made"]["finished"] and not facts["data"]["trained"]


def test_sounds_of_ones_own_and_first_weights(tmp_path):
    """Class names that Markdown or HTML would take for markup stay as they are."""
    labels = ["<b>cat</b>", "a*b*c", "it`s|that", "über_alles_"]
    table = ["filename,label,fold"]
    for index, label in enumerate(labels):
        for fold in (1, 2):
            soundfile.write(tmp_path / f"{index}-{fold}.wav", plain_audio(0.5, seed=index), 8000)
            table.append(f"{index}-{fold}.wav,{label},{fold}")
    (tmp_path / "clips.csv").write_text("\n".join(table))
    data_prep.prepare(
        "audio_folder",
        source=tmp_path / "clips.csv",
        dataset_name="mine",
        sample_rate=8000,
        data_dir=tmp_path / "data",
        progress=False,
    )
    recipe = recipe_class("residual_blocks")(dataset="mine", fold=1, network="m3", duration=0.5)
    records = open_records("mine", sample_rate=8000, data_dir=tmp_path / "data")
    run = untrained(recipe, records, tmp_path / "run")
    write_json(run / "initial.json", {"source": "runs/other one", "sha256": "ab12"})
    evaluate_run(run, data_dir=tmp_path / "data", progress=False)
    head, text, sections, facts = card_of(run, data_dir=tmp_path / "data")
    assert (
        "datasets" not in head and head["model-index"][0]["results"][0]["dataset"]["name"] == "mine"
    )
    assert (
        "the user's to state" in sections["Data"] and "the user's to state" in sections["Licence"]
    )
    assert "began with the weights of `runs/other one`" in text
    assert "--init-from 'runs/other one'" in text and "whose terms count too" in sections["Licence"]
    assert facts["labels"] == labels and facts["data"]["licence"] is None
    assert "``it`s\\|that``" in sections["Data"]
    page = rendered(text)
    assert "<b>" not in page and "<code>&lt;b&gt;cat&lt;/b&gt;</code>" in page
    assert len(facts["citations"]) == 3  # the recipe's paper, Dai et al., ours


def test_tags_have_no_accuracy(tmp_path):
    table = ["filename,labels,fold"]
    for fold in (1, 2):
        for index, labels in enumerate(["dog", "dog|rain", "", "rain"]):
            soundfile.write(tmp_path / f"{fold}-{index}.wav", plain_audio(1, 44100, index), 44100)
            table.append(f"{fold}-{index}.wav,{labels},{fold}")
    (tmp_path / "clips.csv").write_text("\n".join(table))
    form = {"sample_rate": 44100, "data_dir": tmp_path / "data"}
    data_prep.prepare(
        "audio_folder", source=tmp_path / "clips.csv", dataset_name="tags", progress=False, **form
    )
    recipe = recipe_class("erann")(
        dataset="tags", task="tagging", s_m=3, width=1, duration=1.0, crop_duration=0.8
    )
    run = untrained(recipe, open_records("tags", **form), tmp_path / "run")
    metrics = evaluate_run(run, data_dir=tmp_path / "data", progress=False)
    head, text, sections, facts = card_of(run, data_dir=tmp_path / "data")
    assert head["metrics"] == ["mean_average_precision", "mean_roc_auc"]
    assert "any number of which" in text and "accuracy" not in sections["Metrics"].lower()
    row = rows_of(sections["Metrics"])["`rain`"]
    assert row[1:3] == ["2", f"{metrics['per_class'][1]['average_precision']:.3f}"]
    # A clip of two classes counts for both, one of none for neither.
    assert [part["classes"] for part in facts["data"]["parts"]] == [[2, 2], [2, 2]]
    assert facts["data"]["parts"][0]["clips"] == 4


def test_an_open_set_by_city(tmp_path):
    data = write_scenes(tmp_path, [44100])
    recipe = recipe_class("two_path").for_dataset(
        "tau_urban_2019/1c", num_filters=2, duration=0.5, crop_frames=None
    )
    records = open_records(recipe.dataset, data_dir=data, **recipe.records_form)
    run = untrained(recipe, records, tmp_path / "run")
    metrics = evaluate_run(run, data_dir=data, progress=False)
    head, text, sections, _ = card_of(run, data_dir=data)
    assert head["datasets"] == ["tau_urban_2019_1c"]
    score = f"{100 * metrics['open_set']['score']:.1f} %"
    assert f"the mean of the two recalls, is {score}" in sections["Metrics"]
    assert "multiply that of `unknown` by 5 first" in sections["Use"]
    assert rows_of(sections["Metrics"])["`lyon`"][1] == "18"
    assert "no clip of these in training: `airport`" in sections["Limits"]
    assert "excludes commercial use" in sections["Licence"]
    assert "mesaros2018multi" in text


@pytest.mark.parametrize(
    ("fold", "validation", "apart"),
    [(3, "held_out", True), (1, "held_out", False), (4, "next", True)],
)
def test_the_leak_of_esc10_is_told(fold, validation, apart, tmp_path):
    """Folds 3 and 5, on two sides of a split or on one; told without records."""
    recipe = recipe_class("residual_blocks")(
        dataset="esc10", fold=fold, validation=validation, network="m3", duration=0.5
    )
    run = tmp_path / "run"
    write_json(run / "recipe.json", recipe.to_dict())
    (run / "labels.txt").write_text("dog\nrooster\n")
    parts = ["train", "validation", "test"][: 3 if validation == "next" else 2]
    write_json(run / "split.json", {name: {name: {"label": 0, "hash": ""}} for name in parts})
    recipe.build_model(2).save(run / "model.keras")
    _, _, sections, facts = card_of(run, data_dir=tmp_path)
    assert facts["data"]["leak"]["between_parts"] == apart
    assert ("on two sides of the split" in sections["Limits"]) == apart
    assert "3-151080-A" in sections["Limits"]
    assert "CC BY 3.0" in sections["Licence"] and "piczak2015esc" in sections["Citation"]


def test_many_classes_are_folded_up(run):
    labels = [f"class {index}" for index in range(21)]
    recipe = RunFolder(run).recipe
    recipe.build_model(len(labels)).save(run / "model.keras")
    (run / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    per_class = [dict.fromkeys(("precision", "recall", "f1", "average_precision"))] * 21
    per_class = [
        {"label": label, "support": 0} | row for label, row in zip(labels, per_class, strict=True)
    ]
    write_json(run / "metrics.json", {"clips": 4, "accuracy": 0.25, "per_class": per_class})
    _, text, sections, _ = card_of(run)
    page = rendered(text)
    assert page.count("<details><summary>All 21 classes</summary>") == 2
    assert page.count("</details>") == 2 and page.count("<table>") == 6
    for name in ("Data", "Metrics"):
        assert rows_of(sections[name], column=name == "Data")["`class 20`"]


def test_parts_too_large_to_be_listed(run):
    summary = {"clips": 25_000, "folds": [1, 3], "classes": "0f", "digest": "0e"}
    split = json.loads((run / "split.json").read_text())
    write_json(run / "split.json", split | {"train": summary})
    _, _, sections, facts = card_of(run, data_dir=run)
    assert rows_of(sections["Data"])["training"][1:3] == ["1, 3", "25,000"]
    assert [part["classes"] is None for part in facts["data"]["parts"]] == [True, False]


def test_speed_is_remembered_until_the_model_changes(run, monkeypatch):
    timed = []

    def time_it(models, channels):
        timed.append((*models["model"][1:], channels))
        return {"model": 12.3456}

    monkeypatch.setattr("keras_audio.evaluation.speed.clip_latencies", time_it)
    path, facts = write_model_card(run)
    assert timed == [(4000, 1)]
    kept = json.loads((run / "speed.json").read_text())
    assert kept == facts["speed"] and kept["latency_ms"] == 12.346 and kept["runs"] == latency.RUNS
    assert kept["processor"] and kept["cores"] >= 1 and kept["threads"] == 1
    again, facts = write_model_card(run, speed=False)
    assert again == path and facts["speed"] == kept and len(timed) == 1
    assert "**12.3 ms** for a clip of 4,000 samples (0.5 s)" in path.read_text(encoding="utf-8")
    model = RunFolder(run).model()
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save(run / "model.keras")
    assert write_model_card(run, speed=False)[1]["speed"] is None


@pytest.mark.parametrize(
    ("break_it", "to", "words"),
    [
        (lambda run: (run / "recipe.json").unlink(), None, "recipe.json"),
        (lambda run: (run / "model.keras").unlink(), None, "trained for an epoch at least"),
        (lambda run: (run / "model.keras").write_bytes(b"PK"), None, "a whole model"),
        (lambda run: (run / "metrics.json").write_text("{"), None, "metrics.json"),
        (lambda run: None, "model.keras", "a Markdown file"),
        (lambda run: (run / "cards.md").mkdir(), "cards.md", "a Markdown file"),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(run, break_it, to, words):
    break_it(run)
    before = sorted(run.rglob("*"))
    with pytest.raises(ValueError, match=words) as error:
        write_model_card(run, speed=False, to=None if to is None else run / to)
    assert "Received: " in str(error.value) and "\n" not in str(error.value)
    assert sorted(run.rglob("*")) == before


def test_a_card_elsewhere_leads_to_the_run(run, tmp_path, monkeypatch):
    path, _ = write_model_card(run, speed=False, to=tmp_path / "new folder" / "README.md")
    assert not (run / "model_card.md").exists()
    (command,) = re.findall(r"^keras-audio predict .*", path.read_text(), re.MULTILINE)
    monkeypatch.chdir(path.parent)
    assert pathlib.Path(shlex.split(command)[2]).resolve() == run.resolve()


def test_citations_are_those_of_the_citation_file():
    cited = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    entries = [citations(recipe, "", "")[0] for recipe in list_recipes()]
    entries = [" ".join(entry.split()).replace("{ERANNs}", "ERANNs") for entry in entries]
    for paper in cited["references"]:
        (entry,) = [entry for entry in entries if f"{{{paper['title']}}}" in entry]
        authors = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
        assert f"author = {{{' and '.join(authors)}}}" in re.sub(r" +=", " =", entry)
        assert f"year = {{{paper['year']}}}" in re.sub(r" +=", " =", entry)
    assert len(cited["references"]) == len(entries)
    own = citations("erann", "", "")[-1]
    assert f"{{{cited['title']}}}" in own and f"{{{keras_audio.__version__}}}" in own
    assert str(cited["version"]) == keras_audio.__version__
    assert f"year    = {{{cited['date-released'].year}}}" in own


def test_no_entry_claims_a_doi():
    for recipe in list_recipes():
        for dataset in ("esc10", "urbansound8k", "audioset", "ravdess", "tau_urban_2019_1a"):
            for entry in citations(recipe, "m3", dataset):
                assert "doi" not in entry.lower()
                assert entry.count("{") == entry.count("}")
