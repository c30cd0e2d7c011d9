"""The benchmark of progressive resizing: plans, ratios by hand, a run that measures every part."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    file = FOLDER / "progressive_resizing.py"
    spec = importlib.util.spec_from_file_location("progressive_resizing_benchmark", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plans_are_those_of_table_1(benchmark):
    found = benchmark.plans(benchmark.parse([]).recipe)
    assert found["baseline"] == [("128x300", 20), ("128x300", 50), ("128x300", 120)]
    assert found["progressive"] == [
        *[("64x128", 20)] * 2,
        *[("96x214", 20)] * 2,
        ("128x300", 20),
        ("128x300", 70),
    ]
    short = benchmark.parse(["--stages", "64x128:10:5e-3,96x214:5:5e-3"]).recipe
    assert benchmark.plans(short)["progressive"] == [("64x128", 10), ("96x214", 5)]
    # Full resolution is measured to compare with, whether it is in the plan or not.
    for stages in ("64x128:10:5e-3,96x214:5:5e-3", "128x300:1:5e-3,64x128:10:5e-3,64x128:1:1e-3"):
        recipe = benchmark.parse(["--stages", stages]).recipe
        names = [found.resolution for found in benchmark.resolutions(recipe)]
        assert names == [*dict.fromkeys(s for s in names if s != "128x300"), "128x300"]
        assert set(names) >= {stage.resolution for stage in recipe.plan}


def test_costs_are_compared_round_by_round(benchmark):
    values = {
        "training step, 64x128": [40.0, 10.0, 20.0],
        "training step, 128x300": [10.0, 5.0, 10.0],
        "making images, 64x128, mel": [500.0, 500.0, 500.0],
        "making images, 128x300": [100.0, 100.0, 100.0],
    }
    plans = {"baseline": [("128x300", 30)], "progressive": [("64x128", 10), ("128x300", 10)]}
    ratios, (plan, text) = benchmark.compare(values, {"64x128": 100, "128x300": 400}, plans)
    assert plan == "The plan: 10 at 64x128 + 10 at 128x300."
    # Half as many clips a second are twice the time.
    assert ratios["training step, 64x128 / 128x300"].tolist() == [0.25, 0.5, 0.5]
    # (10 / 40 + 10 / 10) / (30 / 10), and so on.
    whole = ratios["plan of 20 epochs / the baseline of 30"]
    assert whole == pytest.approx([1.25 / 3, 3 / 6, 1.5 / 3])
    assert ratios["plan of 20 epochs / 20 epochs at 128x300"] == pytest.approx([0.625, 0.75, 0.75])
    lines = text.splitlines()
    assert lines[0].endswith(
        "0.500 (0.250 to 0.500) of the time, 0.250 of the multiply-accumulates."
    )
    assert "0.500 (0.417 to 0.500) of the time of all training steps, 0.417 of" in lines[1]
    assert lines[1].endswith(": 50 % saved.") and lines[2].endswith(": 25 % saved.")
    # Twice 10 ms where training takes 1.5 s of a clip.
    assert lines[3].endswith(f"{0.02 / 1.5:.4f} of the time of the training steps.")
    plans["progressive"] = [("128x300", 33)]
    text = benchmark.compare(values, {"64x128": 100, "128x300": 400}, plans)[1][1]
    assert ": 10 % more." in text


@pytest.mark.parametrize(
    "arguments",
    ["--num-filters 0", "--batch-size 0", "--repeats 0", "--network resnet50", "--stages 64x128"],
)
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[-1] in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_part(tmp_path):
    command = [sys.executable, FOLDER / "progressive_resizing.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "progressive_resizing_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    assert [row["unit"] for row in rows.values()].count("clips/s") == 3 + 3 + 3 + 1
    assert [row["unit"] for row in rows.values()].count("ratio of times") == 2 + 2
    for row in rows.values():
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
        assert row["command"].startswith("python benchmarks/progressive_resizing.py --quick")
    text = (tmp_path / "progressive_resizing_quick.md").read_text("utf-8")
    assert "plan of 170 epochs / the baseline of 190" in text
