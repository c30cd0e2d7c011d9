"""What docs/erann.md says: its tables follow from the paper's own formulas, its commands parse."""

import doctest
import pathlib
import re
import shlex

import cells
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "erann.md").read_text(encoding="utf-8")


def table(name):
    """The lines of a written table, each a list of cells."""
    text = re.search(rf"<!-- {name}:begin.*?-->\n(.*?)<!-- {name}:end -->", PAGE, re.DOTALL)[1]
    return [line.strip("| \n").split(" | ") for line in text.splitlines()]


def stages(s_m, width):
    """Channels before and after, and stride along time, of each stage: Table 1."""
    before = 1
    for stage in range(5):
        after = 8 * 2**stage * width
        yield before, after, 1 if stage == 0 else 4 if stage <= min(s_m, 3) else 2
        before = after


def weights(before, after, stride):
    """Of the kernels of a stage's four blocks: Table 2."""
    first, second = (6, 5) if stride == 4 else (3, 3)
    return before * after * (3 * first + 1) + after * after * 3 * second + 3 * 2 * 9 * after**2


def parameters(s_m, width, classes):
    total = 2 * 128  # the input's batch norm
    for before, after, stride in stages(s_m, width):
        # Two batch norms a block, the first of the first block's on what comes in; none there in
        # the network's very first block. The widening shortcut has a bias.
        norms = 2 * (7 * after + (before if before > 1 else 0))
        total += weights(before, after, stride) + norms + after
    return total + 128 * width * (128 * width + 1) + classes * (128 * width + 1)


def test_every_size_of_the_paper_is_met():
    header, _, *lines = table("parameters")
    classes = [int(title.split()[0]) for title in header[1:]]
    count = 0
    for system, *sizes in lines:
        s_m, width = map(int, system.split("-")[1:])
        for number, cell in zip(classes, sizes, strict=False):
            if match := re.fullmatch(r"([\d,]+) \(([\d.]+)\)", cell.strip("| ")):
                exactly = int(match[1].replace(",", ""))
                assert exactly == parameters(s_m, width, number)
                assert f"{exactly / 1e6:.1f}" == match[2]
                count += 1
    # 6, 9, 9 and 8 systems; Table 9 has two of its eight twice.
    assert count == 32


def test_the_cost_is_that_of_the_formulas():
    _, _, *lines = table("cost")
    totals = []
    for system, formula, total, cheaper, _ in lines:
        s_m, width = map(int, system.split("-")[1:])
        slope, constant = (int(part.replace(",", "")) for part in formula.split(" t + "))
        positions, expected = 128 * 128, 128 * (14394 + 437 * 128)  # the log-mel
        for before, after, stride in stages(s_m, width):
            positions //= stride * (2 if before > 1 else 1)
            expected += positions * weights(before, after, stride)
        assert slope == expected
        assert constant == 128 * width * (128 * width + 527)
        totals.append(10 * slope + constant)
        assert (total, cheaper) == (f"{totals[-1] / 1e9:.1f}", f"{totals[0] / totals[-1]:.2f}")
    assert len(lines) == 4


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(f"docs/{n}.md" for n in ("erann", "two_path", "developing", "experiments", "importing")),
    ],
)
def test_the_experiments_take_the_commands_of_the_docs(page, load_experiment):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for line in re.findall(r"^python experiments/.*$", text, re.MULTILINE):
        _, script, *arguments = shlex.split(line, comments=True)
        experiment = load_experiment(pathlib.Path(script).stem)
        assert experiment.parse(arguments)


def test_the_examples_of_what_experiments_share():
    assert doctest.testmod(cells).failed == 0 < doctest.testmod(cells).attempted
