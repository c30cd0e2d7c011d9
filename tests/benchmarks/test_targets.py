"""What is asked of a number, whether it is met, and the table of all of them."""

import pathlib
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    sys.path.insert(0, str(BENCHMARKS))


@pytest.mark.parametrize(
    ("bound", "asked", "met"),
    [
        ({"at_least": 2.0}, "at least 2", True),
        ({"at_least": 2.1}, "at least 2.1", False),
        ({"at_most": 2.0}, "at most 2", True),
        ({"at_most": 1.9}, "at most 1.9", False),
    ],
)
def test_the_median_is_what_has_to_keep_the_bound(bound, asked, met):
    from targets import Target

    target = Target("ratio", [1.0, 2.0, 9.0], **bound)
    assert (target.asked, target.met) == (asked, met)


def test_targets_stand_among_the_rows_and_come_back_as_a_table(tmp_path, capsys):
    from targets import Target, read_targets, summary
    from timing import write_results

    targets = [
        Target("theirs over ours", [2.0, 3.0, 4.0], at_least=1.2),
        Target("help", [0.7, 0.6, 0.8], at_most=0.5, unit="s"),
    ]
    groups = {"clips/s": {"ours": [1.0, 2.0, 3.0]}}
    write_results(tmp_path / "one", "One", "About.", groups, targets=targets)
    write_results(tmp_path / "two", "Two", "Nothing is asked.", groups)
    assert "| theirs over ours | at least 1.2 | 3 | 2 | 4 | yes |" in capsys.readouterr().out
    found = read_targets(tmp_path, ["two", "one", "none"])
    assert list(found) == ["one"]
    assert [(row["measured"], row["met"]) for row in found["one"]] == [
        ("theirs over ours", "yes"),
        ("help", "no"),
    ]
    text = summary(found, "there/")
    assert text.startswith("1 of 2 targets are met, on ")
    assert "[one](there/one.md)" in text
    assert "| help | at most 0.5 s | 0.7 | 0.6 | 0.8 | **no** |" in text


def test_a_ratio_is_that_of_a_round():
    from timing import over

    assert over({"a": [4.0, 9.0], "b": [2.0, 3.0]}, "a", "b") == [2.0, 3.0]


def test_every_benchmark_that_is_run_together_is_there():
    from run_all import BENCHMARKS as NAMES
    from run_all import WITH_SOUNDS

    assert set(WITH_SOUNDS) <= set(NAMES)
    for name in NAMES:
        assert (BENCHMARKS / f"{name}.py").is_file(), name


def test_an_unknown_benchmark_is_one_sentence(capsys):
    from run_all import main

    with pytest.raises(SystemExit) as ended:
        main(["log_mels"])
    assert ended.value.code == 2
    assert "expected some of log_mel, pipeline" in capsys.readouterr().err
