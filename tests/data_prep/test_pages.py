"""The pages of the data sets: none is stale, and what they say is so."""

import csv
import pathlib
import re
import shlex

import pytest

import data_prep
from data_prep import pages
from data_prep.downloads import for_dataset
from keras_audio.files import folder_name

PUBLISHED = pathlib.Path(data_prep.__file__).parent.parent / "keras_audio/evaluation/published"
CARDS = {card.name: card for card in data_prep.cards()}
# Whose paper each recipe is.
RECIPES = {
    "naranjo_2019": "residual_blocks",
    "verbitskiy_2022": "erann",
    "mcdonnell_2019": "two_path",
    "pajusco_2020": "binaural_waveforms",
    "colangelo_2021": "progressive_resizing",
}


def commands(name):
    page = pages.pages()[f"{folder_name(name)}.md"]
    block = re.search(r"## Commands\n\n```bash\n(.*?)```", page, re.DOTALL)[1]
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_no_page_is_stale():
    assert pages.stale() == [], "run `make results`"


def test_every_data_set_has_a_page_that_the_index_links(tmp_path):
    written = pages.write_pages(tmp_path)
    assert sorted(written) == sorted(path.name for path in tmp_path.iterdir())
    index = (tmp_path / "README.md").read_text()
    assert set(re.findall(r"\]\(([a-z0-9_]+\.md)\)", index)) == set(written) - {"README.md"}
    assert {f"{folder_name(name)}.md" for name in CARDS} == set(written) - {"README.md"}
    assert pages.write_pages(tmp_path) == []


def test_the_command_writes_what_is_stale_and_says_what_is(tmp_path, monkeypatch, capsys):
    """In another folder than that of the documentation: as `make results` runs it."""
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    assert pages.main([]) == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == pages.pages()
    assert pages.main(["--check"]) == 0 and capsys.readouterr() == ("", "")
    (tmp_path / "esc50.md").write_text("changed")
    (tmp_path / "gone.md").write_text("of a data set that is no more")
    (tmp_path / "ravdess.md").unlink()
    assert pages.main(["--check"]) == 1
    assert capsys.readouterr().err == ("stale: esc50.md, gone.md, ravdess.md: run `make results`\n")
    assert (tmp_path / "gone.md").exists() and not (tmp_path / "ravdess.md").exists()
    assert pages.main([]) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == written


@pytest.mark.parametrize("name", CARDS)
def test_pages_have_all_there_is_to_know(name):
    card, page = CARDS[name], pages.pages()[f"{folder_name(name)}.md"]
    flat = " ".join(page.split())
    assert page.startswith(f"# {card.title}\n")
    for fact in (card.licence, card.url, card.protocol, f"{card.sample_rate} Hz"):
        assert fact in flat
    for index, label in enumerate(card.labels):
        assert f"| {index} | {label} |" in page
    for fold, clips in enumerate(card.fold_clips, start=1):
        assert f"| {fold} | {clips:,} |" in page
    for download in for_dataset(name):
        assert download.url in page and download.digest in page
    # No markup of the text itself: a placeholder would be taken for a tag.
    prose = re.sub(r"```.*?```|<!--.*?-->|<https://[^>]+>", "", page, flags=re.DOTALL)
    assert "<" not in prose
    assert len({line.count("|") for line in page.split("## Classes")[1].splitlines()}) <= 2


@pytest.mark.parametrize("name", CARDS)
def test_commands_go_from_nothing_to_a_training(name):
    verbs = [arguments[1] for arguments in commands(name)]
    assert verbs[0] == ("fetch" if for_dataset(name) else "prepare")
    assert {"prepare", "check", "train"} <= set(verbs)
    # What is fetched is what is prepared.
    folders = {f"sources/{download.folder}" for download in for_dataset(name)}
    for arguments in commands(name):
        if arguments[1] == "prepare" and folders:
            assert arguments[arguments.index("--source") + 1] in folders
        if arguments[1] == "prepare" and not CARDS[name].url and name != "audio_folder":
            assert "--source" not in arguments


@pytest.mark.parametrize("paper", RECIPES)
def test_recipes_train_on_the_data_sets_of_their_papers(paper):
    with open(PUBLISHED / f"{paper}.csv", newline="") as file:
        # What sections say is of the tables too, or of others.
        names = {
            row["dataset"]
            for row in csv.DictReader(file)
            if row["table"].startswith("Table") and row["source"] == "paper"
        }
    assert names <= set(CARDS)
    for name in names:
        trained = [arguments[2] for arguments in commands(name) if arguments[1] == "train"]
        assert RECIPES[paper] in trained


def test_records_are_those_that_the_recipe_reads():
    def prepared(name):
        return [" ".join(command[2:]) for command in commands(name) if command[1] == "prepare"]

    assert prepared("ravdess") == [
        "ravdess --source sources/Audio_Speech_Actors_01-24 --pitch-variants 8"
    ]
    assert prepared("audioset") == ["audioset --source sources/audioset --sample-rate 44100"]
    assert prepared("urbansound8k") == [
        f"urbansound8k --source sources/UrbanSound8K{rate}"
        for rate in (" --sample-rate 8000", "", " --sample-rate 22050")
    ]
    assert prepared("tau_urban_2019/1b") == [
        "tau_urban_2019/1b --source sources/TAU-urban-acoustic-scenes-2019-mobile-development"
    ]
