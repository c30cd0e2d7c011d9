"""A page of the documentation for each data set, written from its card and the table of downloads.

Examples:
  python -m data_prep.pages
  python -m data_prep.pages --check
"""

import argparse
import pathlib
import shlex
import sys
import textwrap
from collections.abc import Iterable, Sequence

from data_prep.clips import DatasetCard
from data_prep.downloads import Download, for_dataset, manual_steps
from data_prep.registry import cards
from keras_audio.files import folder_name, write_text

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "datasets"

# The recipes whose papers train on a data set, or that suit it.
_RECIPES = {
    "toy_sounds": ("residual_blocks",),
    "audio_folder": ("residual_blocks",),
    "esc10": ("residual_blocks", "erann"),
    "esc50": ("residual_blocks", "erann", "progressive_resizing"),
    "urbansound8k": ("residual_blocks", "erann", "progressive_resizing"),
    "ravdess": ("erann",),
    "audioset": ("erann",),
    "tau_urban_2019/1a": ("two_path",),
    "tau_urban_2019/1b": ("two_path",),
    "tau_urban_2019/1c": ("two_path",),
    "tau_urban_2020_3class": ("binaural_waveforms",),
    "toy_scenes/1a": ("two_path",),
    "toy_scenes/1b": ("two_path",),
    "toy_scenes/1c": ("two_path",),
    "toy_scenes/3class": ("binaural_waveforms",),
}
# Where they are when they were not fetched.
_SOURCES = {"esc50": "ESC-50-master", "esc10": "ESC-50-master", "audio_folder": "my_sounds"}
_FETCHED = "sources"
_OWN_NAME = "my_sounds"
_WRITTEN = "<!-- written by `make results` from the data set's builder: change that, not this -->"


def pages() -> dict[str, str]:
    """All pages by the names of their files, the index among them.

    Example:
        >>> sorted(pages())[:3]
        ['README.md', 'audio_folder.md', 'audioset.md']
        >>> pages()["ravdess.md"].splitlines()[0]
        '# RAVDESS: emotional speech, audio only'
    """
    return {"README.md": _index()} | {_file(card): _page(card) for card in cards()}


def stale(folder: pathlib.Path | None = None) -> list[str]:
    """The pages in `folder`, else in `FOLDER`, that are missing, changed, or of no data set."""
    folder, fresh = folder or FOLDER, pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(
        name for name in fresh.keys() | there.keys() if fresh.get(name) != there.get(name)
    )


def write_pages(folder: pathlib.Path | None = None) -> list[str]:
    """Write what is stale there, remove pages of no data set, and give the names of both."""
    folder, fresh = folder or FOLDER, pages()
    changed = stale(folder)
    for name in changed:
        if name in fresh:
            write_text(folder / name, fresh[name])
        else:
            (folder / name).unlink()
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or only say which are stale; 1 if some are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a page is stale")
    if not parser.parse_args(arguments).check:
        write_pages()
        return 0
    if changed := stale():
        print(f"stale: {', '.join(changed)}: run `make results`", file=sys.stderr)
    return int(bool(changed))


def _file(card: DatasetCard) -> str:
    return f"{folder_name(card.name)}.md"


def _index() -> str:
    rows = [
        (
            f"[`{card.name}`]({_file(card)})",
            card.title,
            _number(card.clips),
            _number(card.classes),
            _folds(card),
            card.licence,
        )
        for card in cards()
    ]
    return _joined(
        "# Data sets",
        _WRITTEN,
        "What `keras-audio prepare` makes records of. [Your data](../data.md) has what they\n"
        "have in common, and how to bring sounds of your own.",
        _table(("name", "what", "clips", "classes", "folds", "licence"), rows, "llrrll"),
    )


def _page(card: DatasetCard) -> str:
    return _joined(
        f"# {card.title}",
        _WRITTEN,
        _facts(card),
        "## Getting it",
        *_getting(card),
        "## Folds",
        textwrap.fill(card.protocol, 100),
        *_fold_table(card),
        "## Classes",
        *_classes(card),
        "## Commands",
        *_commands(card),
        "[All data sets](README.md), [your data](../data.md)",
    )


def _facts(card: DatasetCard) -> str:
    form = f"{card.sample_rate} Hz, {'mono' if card.channels == 1 else 'stereo'}"
    if card.resampling != "soxr":
        form += f", resampled by the {card.resampling} method"
    facts = {
        "name": f"`{card.name}`",
        "clips": _number(card.clips),
        "classes": _number(card.classes),
        "folds": _folds(card),
        "licence": card.licence,
        "home": card.url,
        "source folder": _text(card.layout),
        "records unless told otherwise": form,
    }
    return _table(("", ""), [(name, fact) for name, fact in facts.items() if fact])


def _getting(card: DatasetCard) -> list[str]:
    downloads = for_dataset(card.name)
    parts = []
    if downloads:
        files = f"{len(downloads)} file{'s' * (len(downloads) > 1)}"
        size = _size(sum(part.about for part in downloads))
        what = "the tables alone: " if manual_steps(card.name) else ""
        parts.append(f"`fetch` downloads {what}{files}, about {size}. A second call goes on.")
        parts.append(_block([_fetch(card)]))
        rows = [
            (f"`{part.part}`", f"<{part.url}>", _bytes(part), f"{part.algorithm} `{part.digest}`")
            for part in downloads
        ]
        parts.append(_table(("part", "from", "bytes", "checksum"), rows, "llrl"))
    if steps := manual_steps(card.name):
        parts.append(_block(steps.splitlines(), "text"))
    return parts


def _fold_table(card: DatasetCard) -> list[str]:
    folds = enumerate(card.fold_clips, start=1)
    rows = [(str(fold), _number(clips)) for fold, clips in folds]
    return [_table(("fold", "clips"), rows, "rr")] if rows else []


def _classes(card: DatasetCard) -> list[str]:
    if not card.labels:
        return ["Those of the source."]
    header, counts = ["", "class"], [()] * len(card.labels)
    if card.class_clips:
        header.append("clips")
        counts = [(_number(clips),) for clips in card.class_clips]
    rows = [
        (str(index), _text(label), *count)
        for index, (label, count) in enumerate(zip(card.labels, counts, strict=True))
    ]
    return [_table(header, rows, "rlr"[: len(header)])]


def _commands(card: DatasetCard) -> list[str]:
    """How each recipe of the data set gets its records and trains on them."""
    from keras_audio.recipes import recipe_class

    own = card.name == "audio_folder"
    name = _OWN_NAME if own else card.name
    lines = [_fetch(card)] if for_dataset(card.name) else []
    for recipe in _RECIPES[card.name]:
        form = recipe_class(recipe).for_dataset(card.name).records_form
        prepare = ["prepare", card.name]
        if source := _source(card):
            prepare += ["--source", source]
        if own:
            prepare += ["--name", name]
        for option, value in form.items():
            if value != getattr(card, option, 0):
                prepare += [f"--{option.replace('_', '-')}", str(value)]
        train = ["train", recipe, "--dataset", name, "--fold", "1"]
        lines += [_command(prepare), _command(["check", name]), _command(train)]
    if for_dataset(card.name) and manual_steps(card.name):
        lines[0] += "  # then put the sounds there, as above"
    return [_block(dict.fromkeys(lines))]


def _source(card: DatasetCard) -> str:
    """Where the commands have it: where `fetch` puts it, or where a user does."""
    if card.name in _SOURCES:
        return _SOURCES[card.name]
    return next((f"{_FETCHED}/{part.folder}" for part in for_dataset(card.name)), "")


def _fetch(card: DatasetCard) -> str:
    return _command(["fetch", card.name, "--to", _FETCHED])


def _command(arguments: Iterable[str]) -> str:
    return shlex.join(["keras-audio", *arguments])


def _block(lines: Iterable[str], language: str = "bash") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _joined(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], sides: str = "") -> str:
    marks = ["---:" if side == "r" else "---" for side in sides.ljust(len(header), "l")]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, marks, *rows))


def _text(text: str) -> str:
    """Text of no markup, in which placeholders like <YTID> would be tags."""
    return text.replace("<", "&lt;").replace("|", "&#124;").replace("*", "\\*")


def _folds(card: DatasetCard) -> str:
    if card.folds is None:
        return "made for you"
    return "one official split" if card.folds == 1 else str(card.folds)


def _number(value: int | None) -> str:
    return "yours" if value is None else f"{value:,}"


def _bytes(part: Download) -> str:
    return f"about {_size(part.about)}" if part.bytes is None else _number(part.bytes)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
