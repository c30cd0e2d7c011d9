"""experiments/parity.py: its rows, its exit status, and the committed numbers."""

import pathlib

import numpy as np
import pytest
from original_networks import plain, record, save

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture
def parity(load_experiment):
    return load_experiment("parity")


@pytest.fixture
def reference(parity, tmp_path, monkeypatch):
    """A folder with an original and its recording, in place of the real ones."""
    x = np.random.default_rng(0).normal(size=(2, 4000, 1)).astype("float32")
    net = plain("m3", 3, x)
    (tmp_path / "originals").mkdir()
    save(tmp_path / "originals" / "m3.h5", net)
    record(tmp_path / "originals" / "io.npz", net, x)
    monkeypatch.setattr(parity, "ORIGINALS", [("m3.h5", "m3", "io.npz")])
    return tmp_path / "originals"


def run(parity, reference, to):
    return parity.main(["--reference", str(reference), "--to", str(to)])


def test_a_row_an_output_says_how_it_was_made_but_not_where(parity, reference, tmp_path):
    assert run(parity, reference, tmp_path / "to") == 0
    text = (tmp_path / "to" / "parity.csv").read_text()
    assert str(tmp_path) not in text
    rows = parity.read_rows(tmp_path / "to" / "parity.csv")
    assert [row["output"] for row in rows] == ["embedding", "logits", "predictions"]
    assert all(row[name] for row in rows for name in parity.COLUMNS)
    command = "keras-audio parity reference/m3.h5 reference/io.npz --as m3 --tolerance 1e-05"
    assert {row["command"] for row in rows} == {command}


def test_a_difference_is_an_error_that_is_written_all_the_same(parity, reference, tmp_path, capsys):
    with np.load(reference / "io.npz") as io:
        np.savez(reference / "io.npz", **{**io, "logits": io["logits"] + 1})
    assert run(parity, reference, tmp_path / "to") == 1
    assert "above 1e-05: logits of m3.h5" in capsys.readouterr().err
    assert len(parity.read_rows(tmp_path / "to" / "parity.csv")) == 3
    (reference / "io.npz").unlink()
    assert run(parity, reference, tmp_path / "to") == 2
    assert "no such file" in capsys.readouterr().err


def test_the_committed_rows_are_all_originals_and_those_of_the_docs(parity):
    rows = parity.read_rows(REPOSITORY / "results" / "parity.csv")
    assert [(row["file"], row["model"]) for row in rows] == [each[:2] for each in parity.ORIGINALS]
    assert all(0 <= float(row["absolute"]) <= parity.TOLERANCE for row in rows)
    assert "\n".join(parity.table(rows)) in (REPOSITORY / "docs" / "importing.md").read_text()
