"""Which room of the package may import what."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "keras_audio"


def imports(path, anywhere):
    """The names of imported modules: at the top of the file, or anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    "room", ["layers", "models", "importers", "augment", "schedules", "compress"]
)
def test_rooms_that_run_on_any_keras_backend_import_no_tensorflow(room):
    files = sorted((PACKAGE / room).glob("*.py"))
    assert files
    for path in files:
        assert not {"tensorflow", "tensorflow_datasets"} & set(imports(path, anywhere=True)), path


@pytest.mark.parametrize(
    "module",
    [
        *("cli.py", "cli_find_lr.py", "cli_parser.py", "cli_prepare.py", "cli_recipe.py"),
        *("cli_card.py", "cli_compress.py", "cli_import.py", "cli_parity.py"),
        *("demo.py", "audio.py", "audio_headers.py", "audio_stream.py", "files.py", "recipes"),
    ],
)
def test_what_the_help_needs_imports_nothing_heavy(module):
    path = PACKAGE / module
    heavy = {"tensorflow", "tensorflow_datasets", "keras", "librosa", "sklearn", "matplotlib"}
    for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
        assert not heavy & set(imports(file, anywhere=False)), file
