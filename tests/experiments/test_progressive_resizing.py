"""The experiment on progressive resizing: its cells, plans by method, labels, commands."""

import doctest
import shlex

import cells
import grid
import progressive_resizing_published
import progressive_resizing_tables
import progressive_resizing_variants
import pytest
from progressive_resizing_variants import Variant, add_label, build_recipe, labels_of, variant_of

from keras_audio.cli_parser import build_parser
from keras_audio.evaluation import published_results
from keras_audio.models.macs import count_macs
from keras_audio.recipes import ProgressiveResizing, recipe_class, with_settings

SHORT = [
    "--plan",
    "baseline=128x300:30:5e-3",
    "--plan",
    "progressive=64x128:10:5e-3,128x300:20:1e-4/3",
]


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("progressive_resizing")


def all_cells(experiment, *arguments):
    return list(experiment.grid(experiment.parse(arguments)))


def test_the_cells_are_those_of_table_3(experiment):
    found = all_cells(experiment)
    methods = ["baseline", "mel", "bilinear", "combined"]
    pairs = [(cell.recipe.fold, cell.recipe.method) for cell in found]
    # All methods of a fold before the next: they are compared fold by fold.
    assert pairs == [(fold, method) for fold in range(1, 6) for method in methods]
    assert str(found[1].path) == "runs/progressive_resizing/mel/esc50-fold1-seed0"
    for cell in found:
        usual = ProgressiveResizing(method=cell.recipe.method, fold=cell.recipe.fold)
        assert cell.recipe == usual and cell.start == ()
    plans = {cell.recipe.method: sum(s.epochs for s in cell.recipe.plan) for cell in found}
    assert plans == {"baseline": 190, "mel": 170, "bilinear": 170, "combined": 170}
    urban = all_cells(experiment, "--dataset", "urbansound8k", "--methods", "mel", "--seeds", "0,1")
    assert [cell.recipe.fold for cell in urban] == [*range(1, 11)] * 2


def test_plans_are_given_by_method(experiment):
    arguments = ["--dataset", "esc10", "--folds", "2", "--set", "num_filters=16", *SHORT]
    found = all_cells(experiment, *arguments, "--mixup", "none,standard")
    assert [(c.recipe.method, c.recipe.mixup) for c in found] == [
        (method, mixup)
        for mixup in ("none", "standard")
        for method in ("baseline", "mel", "bilinear", "combined")
    ]
    assert [[str(stage) for stage in cell.recipe.plan] for cell in found[:2]] == [
        ["128x300:30:0.005"],
        ["64x128:10:0.005", "128x300:20:0.0001/3"],
    ]
    # A plan is part of the folder's name, in which there is no slash.
    assert found[5].path.parent.name == (
        "mel-mixup=standard-num_filters=16-stages=64x128:10:0.005,128x300:20:0.0001_3"
    )
    assert len({cell.path for cell in found}) == 8
    # A later plan takes the place of an earlier one, and written otherwise it is the same.
    again = all_cells(experiment, *arguments, "--plan", "mel=64x128:10:.005,128x300:20:1e-4/3.0")
    assert [cell.path for cell in again] == [cell.path for cell in found[:4]]


def test_first_weights_have_folders_of_their_own(experiment):
    arguments = ["--folds", "1", "--methods", "mel", "--init-from", "weights/resnet34.pth"]
    (cell,) = all_cells(experiment, *arguments)
    assert cell.path.parent.name == "mel-init_from=resnet34"
    assert cell.start == ("--init-from", "weights/resnet34.pth")
    row = {"command": shlex.join(["keras-audio", *cells.train_command(cell.recipe, cell.start)])}
    assert progressive_resizing_variants.variant_of_row(row) == Variant(
        "mel", start="weights/resnet34.pth"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--methods nearest", "nearest"),
        ("--mixup between_class", "none, standard"),
        ("--plan 128x300:30:5e-3", "METHOD=STAGES"),
        ("--plan nearest=128x300:30:5e-3", "METHOD=STAGES"),
        ("--plan mel=", "METHOD=STAGES"),
        ("--plan mel=64x128:5", "Expected a stage"),
        ("--plan baseline=64x128:5:1e-3", "method=baseline"),
        ("--label equal/epochs", "letters, digits"),
        ("--set num_filters=0", "at least 1"),
        ("--folds 0", "folds such as"),
    ],
)
def test_wrong_options_are_refused(experiment, arguments, said, capsys):
    with pytest.raises(SystemExit):
        experiment.parse(arguments.split())
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["esc50", "urbansound8k", "esc10", "mine"])
def test_the_command_trains_the_recipe(experiment, dataset):
    arguments = ["--dataset", dataset, "--folds", "2", "--mixup", "none,standard", *SHORT]
    for cell in all_cells(experiment, *arguments, "--set", "trim_db=none", "--seeds", "3"):
        options = build_parser().parse_args(cells.train_command(cell.recipe))
        usual = recipe_class("progressive_resizing").for_dataset(dataset)
        assert with_settings(usual, options.set) == cell.recipe


def test_labels_are_those_of_the_plan_and_not_of_a_run(tmp_path):
    run = tmp_path / "mel" / "esc10-fold1-seed0"
    assert labels_of(run) == []
    for label in ("equal_wall_time", "equal_epochs", "equal_epochs"):
        add_label(tmp_path / "mel", "esc10", label)
    assert labels_of(run) == ["equal_epochs", "equal_wall_time"]
    assert labels_of(tmp_path / "bilinear" / "esc10-fold1-seed0") == []
    assert labels_of(tmp_path / "mel" / "esc50-fold1-seed0") == []


def test_what_is_trained_is_labelled(experiment, tmp_path, monkeypatch):
    command = ["progressive_resizing.py", "--dataset", "esc10", "--folds", "1", "--runs"]
    command += [str(tmp_path / "runs"), "--to", str(tmp_path / "results"), *SHORT]
    monkeypatch.setattr(cells, "with_records", lambda found, _: (list(found), ""))
    ran = []
    monkeypatch.setattr(grid, "run_cells", lambda ready, _: (ran.extend(ready) or [], None))

    def main(*arguments):
        monkeypatch.setattr("sys.argv", [*command, *arguments])
        assert experiment.main() == 0
        return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.label"))

    # Where nothing is trained there is nothing to label, and a smoke test leaves nothing behind.
    assert main("--label", "equal_epochs", "--tables-only") == []
    assert main("--label", "equal_epochs", "--smoke") == [] and len(ran) == 4
    found = main("--label", "equal_epochs", "--methods", "baseline")
    assert found == [
        "runs/progressive_resizing/baseline-stages=128x300:30:0.005/esc10.equal_epochs.label"
    ]
    # A run that is there takes part in another comparison without being trained again.
    folder = tmp_path / "runs/progressive_resizing/baseline-stages=128x300:30:0.005"
    (folder / "esc10-fold1-seed0").mkdir()
    trained = len(ran)
    main("--label", "equal_wall_time", "--tables-only")
    assert labels_of(folder / "esc10-fold1-seed0") == ["equal_epochs", "equal_wall_time"]
    assert len(ran) == trained


def rows_of(found, labels=""):
    return [
        {
            "dataset": cell.recipe.dataset,
            "fold": str(cell.recipe.fold),
            "seed": str(cell.recipe.seed),
            "accuracy": "0.5",
            "labels": labels,
            "command": shlex.join(["keras-audio", *cells.train_command(cell.recipe, cell.start)]),
        }
        for cell in found
    ]


def test_the_commands_make_the_rows(experiment):
    esc = ["--dataset", "esc10", "--set", "num_filters=8"]
    grids = {
        "equal_epochs": [*esc, *SHORT, "--folds", "1,2"],
        "equal_wall_time": [*esc, "--methods", "mel,bilinear", "--folds", "1-3", "--seeds", "0,1",
                            "--mixup", "none,standard", "--plan", "progressive=64x128:60:5e-3"],
        "": ["--dataset", "esc10", "--methods", "mel", "--init-from", "resnet34.pth"],
    }  # fmt: skip
    rows, expected = [], {}
    for label, arguments in grids.items():
        found = all_cells(experiment, *arguments)
        # One of the plans takes part in both comparisons.
        both = [c for c in found if c.recipe.method == "baseline"]
        rows += rows_of(both, "equal_epochs equal_wall_time")
        rows += rows_of([c for c in found if c not in both], label)
        expected.setdefault(label, set()).update(cell.path for cell in found)
        expected.setdefault("equal_wall_time", set()).update(cell.path for cell in both)
    prepare, *lines = progressive_resizing_tables.commands(rows, "esc10")
    assert prepare == "keras-audio prepare esc10 --source ESC-10-master --sample-rate 22050"
    made = {}
    for line in lines:
        python, script, *arguments = shlex.split(line)
        assert (python, script) == ("python", "experiments/progressive_resizing.py")
        label = experiment.parse(arguments).label or ""
        found = {cell.path for cell in all_cells(experiment, *arguments)}
        assert not found & made.get(label, set())
        made.setdefault(label, set()).update(found)
    assert made == expected
    assert len(lines) == 4


def test_cost_follows_the_resolution():
    recipe = build_recipe("mel", "esc10", settings=["network=resnet10", "num_filters=4"])
    network = ("resnet10", 4, "plain", "repeat", 1)
    assert progressive_resizing_variants._network(recipe) == network
    small, large = (
        progressive_resizing_variants.macs_of(*network, 10, *size)
        for size in ((64, 128), (128, 300))
    )
    # As the number of pixels, but for a last layer of any image and frames that are rounded up.
    assert large / small == pytest.approx(128 * 300 / (64 * 128), rel=0.02)
    full = recipe.build_model(10)
    front_end_too = count_macs(full, (22050, 1))
    model = progressive_resizing_variants._build(*network, 10)
    assert front_end_too > large == count_macs(model, (128, 300, 1))
    assert progressive_resizing_variants.parameters(*network, 10) == cells.trainable_parameters(
        full
    )


def test_published_numbers_by_split():
    assert progressive_resizing_published.published("esc50")["bilinear"] == {
        5: 0.7174, 4: 0.8324, 3: 0.7325, 2: 0.7749, 1: 0.7425,
    }  # fmt: skip
    assert progressive_resizing_published.published_mean("esc50", "combined") is None
    for row in published_results("colangelo_2021"):
        if row["metric"] == "accuracy" and row["column"]:
            fold = int(row["column"].removeprefix("fold="))
            split = progressive_resizing_published.split_of(row["dataset"], fold)
            assert row["protocol"].startswith(f"split {split}: fold {fold} ")


def test_the_examples_of_the_variants():
    assert doctest.testmod(progressive_resizing_variants).failed == 0


def test_a_variant_says_what_is_not_usual():
    recipe = build_recipe("bilinear", "esc10", settings=["network=resnet18", "fold=3", "seed=2"])
    assert variant_of(recipe) == Variant("bilinear", extra=("network=resnet18",))
    assert variant_of(recipe).folder == "bilinear-network=resnet18"
