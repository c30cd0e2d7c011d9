"""The benchmark of growth runs, and its exponents are those of the numbers."""

import csv
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    import growth

    return growth


@pytest.mark.parametrize("exponent", [-1, 0, 0.5, 1, 2])
def test_the_exponent_is_the_slope_of_the_logarithms(benchmark, exponent):
    growth = benchmark.Growth("sorting", "clips", "clips", None, (10, 100, 1000))
    values = {growth.at(size): [3 * size**exponent, 7 * size**exponent] for size in growth.sizes}
    assert benchmark.exponents(growth, values) == pytest.approx([exponent, exponent])
    assert benchmark.exponents(growth, values, least=1e9) == pytest.approx([0, 0])
    assert benchmark.medians(growth, values)[1] == pytest.approx(5 * 100**exponent)


def test_every_growth_has_sizes_that_grow_and_a_name_of_its_own(benchmark):
    names = [growth.name for growth in benchmark.GROWTHS]
    assert len(set(names)) == len(names)
    assert {growth.axis for growth in benchmark.GROWTHS} == {
        *("clips", "length", "classes", "workers")
    }
    for growth in benchmark.GROWTHS:
        assert list(growth.sizes) == sorted(set(growth.sizes)) and len(growth.sizes) > 1


def test_the_same_numbers_give_the_same_plot(benchmark):
    curves = {
        growth.name: (growth.sizes, [float(s) for s in growth.sizes], [0.0] * len(growth.sizes))
        for growth in benchmark.GROWTHS
    }
    svg = benchmark.growth_svg(curves)
    assert svg == benchmark.growth_svg(curves) and len(svg) < 200_000
    xml.etree.ElementTree.fromstring(svg)
    assert all(name in svg for name in curves) and "linear" in svg


@pytest.mark.slow
def test_a_quick_benchmark_writes_table_numbers_and_plot(tmp_path):
    command = [sys.executable, FOLDER / "growth.py", "--quick", "--only", "length", "clips"]
    ended = subprocess.run([*command, "--to", tmp_path], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "growth_quick.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    exponents = [row for row in rows if row["unit"] == "exponent"]
    assert len(exponents) == 8 and {row["asked"] for row in exponents} == {"at most 1.1"}
    assert all(float(row["median"]) > 0 for row in rows if row["unit"] == "s")
    text = (tmp_path / "growth_quick.md").read_text("utf-8")
    assert "](growth_quick.svg)" in text and "The steepest is " in text
    assert (tmp_path / "growth_quick.svg").stat().st_size < 200_000
