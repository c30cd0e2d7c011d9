"""The committed numbers against the text of the paper itself, cell by cell."""

import re

import pytest

from keras_audio.evaluation.published import published_results
from keras_audio.recipes import recipe_class, with_settings

INPUTS = {
    "No": "none",
    "Scale max": "max_abs",
    "Mean 0 Std 1": "standard",
    "log Mel-Spectrogram": "log_mel",
}
METRICS = {"Validation acc": "validation_accuracy", "Training acc": "training_accuracy"}
# Rows of the two-path report's tables beside the ten known classes.
NO_CLASS = ("average", "known", "unknown")


def test_table_2_is_the_papers(shared):
    """Re-parses the tab-separated table from the paper's text."""
    text = (shared / "papers" / "naranjo_2019_residual_blocks.txt").read_text(encoding="utf-8")
    expected, column = {}, None
    for line in text.splitlines():
        cells = line.split("\t")
        if len(cells) == 8 and cells[1] in METRICS:
            column = INPUTS[cells[0]] if cells[0] else column
            for block, cell in enumerate(cells[2:], start=1):
                assert re.fullmatch(r"[\d.]+%", cell)
                value = round(float(cell[:-1]) / 100, 6)
                expected[f"rb{block}", column, METRICS[cells[1]]] = value
    assert len(expected) == 48
    rows = [row for row in published_results("naranjo_2019") if row["source"] == "paper"]
    found = {(row["row"], row["column"], row["metric"]): row["value"] for row in rows}
    assert len(rows) == 48 and found == expected
    assert {row["table"] for row in rows} == {"Table II"}


def test_original_code():
    rows = [row for row in published_results("naranjo_2019") if row["source"] == "original code"]
    assert {row["row"]: row["value"] for row in rows} == {
        "m3": 0.673,
        "m5": 0.743,
        "m11": 0.752,
        "m18": 0.710,
        "rb6": 0.725,
    }
    assert {row["column"] for row in rows} == {"standard"}


def test_rows_and_columns_name_recipes():
    """Every number can be matched with a recipe: rows are blocks or plain networks."""
    for row in published_results("naranjo_2019"):
        field = "block" if row["row"].startswith("rb") else "network"
        recipe = recipe_class("residual_blocks")(
            **{field: row["row"], "normalization": row["column"], "dataset": row["dataset"]}
        )
        assert 0 < row["value"] <= 1
        assert f"fold {recipe.fold} held out" in row["protocol"]


def plain(text):
    """A cell without its reference and its spaces."""
    return re.sub(r" \[\d+\]$", "", text.strip())


def tables_of_erann(shared):
    """Lists of cells of each table of the paper's text: the lines after its caption with tabs."""
    text = (shared / "papers" / "verbitskiy_2022_erann.txt").read_text(encoding="utf-8")
    tables, number = {}, None
    for line in text.splitlines():
        if caption := re.match(r"Table (\d):", line):
            tables[number := int(caption[1])] = []
        elif number and "\t" in line:
            tables[number].append([plain(cell) for cell in line.split("\t")])
        elif number and tables[number] and line.strip():
            number = None
    return tables


def cells_of_erann(shared):
    """(table, row, column, metric) -> value of every cell of Tables 3 to 9, parsed anew."""
    tables, found = tables_of_erann(shared), {}

    def put(table, name, column, metric, cell):
        if cell in ("—", ""):
            return
        value = {"✓": 1.0, "✗": 0.0, r"\checkmark": 1.0, r"\times": 0.0, "OOM": None}.get(
            cell, cell
        )
        value = float(value) if isinstance(value, str) else value
        value = round(value * 1e6) if metric == "parameters" else value
        key = f"Table {table}", name.lower().replace("-", "_") if ours(name) else name, column
        assert (*key, metric) not in found
        found[*key, metric] = value

    def ours(name):
        return name.startswith("ERANN")

    mixups = [None, "none", "standard", "between_class", "between_class_log_mel"]
    # The column of t_c is lost in the text, which says 8 above and 4, 8, 10 of the last three.
    lengths = iter([8, 8, 8, 8, 8, 4, 8, 10])
    for name, spec, mixup, value in tables[3][1:]:
        settings = {"✓": "true", "✗": "false"}[spec], mixups[int(mixup)]
        column = "crop_duration={} spec_augment={} mixup={}".format(next(lengths), *settings)
        put(3, name, column, "mean_average_precision", value)
    for table, *metrics in (
        (4, "parameters", "clips_per_second_batch_1", "clips_per_second_batch_32"),
        (5, "end_to_end", "parameters"),
        (6, "parameters", "clips_per_second_batch_32"),
        (7, "end_to_end", "parameters"),
        (8, "end_to_end", "parameters"),
        (9, "end_to_end", "parameters"),
    ):
        body = [row for row in tables[table] if re.match(r"[A-Z]", row[0]) and row[0] != "P-S"]
        for name, *cells in body:
            shift = ""
            if table == 9:
                # The last two columns are one in the text.
                shift, *cells = cells[:-1] + cells[-1].split(" ")
                shift = {"✓": "pitch_shift", "✗": "no_pitch_shift", "—": ""}[shift]
            values = cells[len(metrics) :]
            for metric, cell in zip(metrics, cells[: len(metrics)], strict=True):
                put(table, name, shift, metric, cell)
            if table in (4, 5):
                column = "scratch" if ours(name) else ""
                put(table, name, column, "mean_average_precision", *values)
                continue
            for column, cell in zip(("scratch", "fine_tune"), values, strict=True):
                put(table, name, f"{column} {shift}".strip(), "accuracy", cell)
    return found


def test_tables_3_to_9_of_erann_are_the_papers(shared):
    rows = published_results("verbitskiy_2022")
    keys = ("table", "row", "column", "metric")
    found = {tuple(row[key] for key in keys): row["value"] for row in rows}
    assert len(found) == len(rows) == 210
    assert found == cells_of_erann(shared)
    datasets = {row["table"]: set() for row in rows}
    for row in rows:
        datasets[row["table"]].add(row["dataset"])
    assert datasets == {f"Table {number}": {"audioset"} for number in (3, 4, 5)} | {
        "Table 6": {"esc50"},
        "Table 7": {"esc50"},
        "Table 8": {"urbansound8k"},
        "Table 9": {"ravdess"},
    }


def test_rows_and_columns_of_erann_name_recipes():
    for row in published_results("verbitskiy_2022"):
        if row["source"] == "paper" and row["row"] != "AST" and "(" not in row["row"]:
            fields = recipe_class("erann").fields_of_model(row["row"])
            recipe = recipe_class("erann").for_dataset(row["dataset"], **fields)
            assert recipe.model_name == row["row"]
            if row["table"] == "Table 3":
                settings = row["column"].split()
                changed = with_settings(recipe, settings)
                assert f"mixup={changed.mixup}" in settings
                assert f"crop_duration={changed.crop_duration:g}" in settings


def test_what_erann_cites_and_where_it_errs():
    rows = published_results("verbitskiy_2022")
    for row in rows:
        measured = row["row"].startswith("erann_") or row["metric"].startswith("clips_per")
        assert row["source"] == ("paper" if measured else "cited")
        assert row["row"].startswith("erann_") or "et al. 20" in row["note"]
        assert bool(row["protocol"]) == (row["metric"] not in ("parameters", "end_to_end"))
    value = {(row["table"], row["row"], row["metric"]): row["value"] for row in rows}
    speed = "clips_per_second_batch_32"
    slowest = value["Table 4", "erann_0_6", speed]
    assert round(value["Table 4", "erann_1_6", speed] / slowest, 2) == 1.46
    assert round(value["Table 4", "erann_2_6", speed] / slowest, 2) == 1.68
    assert value["Table 4", "AST", speed] is None
    for table, row, metric, word in (
        ("Table 4", "erann_1_6", speed, "by mistake: 108/74 = 1.46"),
        ("Table 4", "erann_2_6", speed, "by mistake: 124/74 = 1.68"),
        ("Table 4", "AST", speed, "out of memory"),
        ("Table 5", "erann_2_5", "parameters", "ESC-50 by mistake: 38.2"),
        ("Table 5", "erann_1_6", "parameters", "ESC-50 by mistake: 54.5"),
        ("Table 6", "erann_1_3", speed, "by mistake"),
    ):
        (note,) = [
            r["note"] for r in rows if (r["table"], r["row"], r["metric"]) == (table, row, metric)
        ]
        assert word in note
    for row in ("erann_2_5", "erann_1_6"):
        right, wrong = value["Table 4", row, "parameters"], value["Table 5", row, "parameters"]
        assert right > wrong == value["Table 6", row, "parameters"]


def tables_of_two_path(shared):
    """(table, row, metric) or, of Table 1, (table, row, column) -> value, parsed anew."""
    text = (shared / "papers" / "mcdonnell_2019_two_path.txt").read_text(encoding="utf-8")
    first = ("all", "A", "B and C", "known", "unknown")
    lines = [line.split("\t") for line in text.splitlines() if "\t" in line]
    raw = [cells for cells in lines if re.match(r"1[abc]", cells[0])]
    found = {}
    for row, cells in zip(first, raw, strict=True):
        for column, cell in zip(("deltas=false", "deltas=true"), cells[1:3], strict=True):
            found["Table 1", row, column] = round(float(cell.rstrip("%")) / 100, 6)
    names = {
        "Average": "average",
        "Known class average": "known",
        "Overall average": "average",
        "Evaluation score": "all",
    }
    table = 1
    for name, *cells in lines:
        if name == "Class":
            table += 1
        elif table > 1 and len(cells) == 2:
            row = names.get(name, name.replace(" ", "_"))
            for metric, cell in zip(("recall", "precision"), cells, strict=True):
                if cell != "N/A":
                    value = float(cell.rstrip("%")) / (100 if "%" in cell else 1)
                    metric = "score" if row == "all" else metric
                    found[f"Table {table}", row, metric] = round(value, 6)
    return found


def test_tables_1_to_4_of_the_two_path_network_are_the_reports(shared):
    rows = published_results("mcdonnell_2019")
    found = {
        (row["table"], row["row"], row["column" if row["table"] == "Table 1" else "metric"]): row
        for row in rows
    }
    assert len(found) == len(rows) == 10 + 22 + 22 + 27
    assert {key: row["value"] for key, row in found.items()} == tables_of_two_path(shared)
    for row in rows:
        assert row["source"] == "paper" and "validation split" in row["protocol"]
        recipe = with_settings(recipe_class("two_path")(), [row["column"]])
        assert recipe.deltas == (row["column"] == "deltas=true")
        if row["table"] == "Table 1":
            assert row["metric"] == "accuracy"
        else:
            number = {"Table 2": "1a", "Table 3": "1b", "Table 4": "1c"}[row["table"]]
            assert row["dataset"] == f"tau_urban_2019/{number}"
            assert row["column"] == "deltas=true"


@pytest.mark.parametrize("table", ["Table 2", "Table 3", "Table 4"])
@pytest.mark.parametrize("metric", ["recall", "precision"])
def test_averages_of_the_two_path_network(table, metric):
    """A mean of cells that the report prints in another way is named, and within their rounding."""
    rows = published_results("mcdonnell_2019")
    rows = {r["row"]: r for r in rows if (r["table"], r["metric"]) == (table, metric)}
    classes = [row["value"] for name, row in rows.items() if name not in NO_CLASS]
    assert len(classes) == 10
    average = rows["known" if table == "Table 4" else "average"]
    mean = sum(classes) / 10
    assert abs(mean - average["value"]) < 0.005
    if round(mean, 3) == average["value"]:
        assert not average["note"]
    else:
        assert f"come to {mean:.3f}:" in average["note"]
    if table == "Table 4":
        overall = (10 * average["value"] + rows["unknown"]["value"]) / 11
        assert round(overall, 3) == rows["average"]["value"] and not rows["average"]["note"]


def test_where_the_two_path_report_does_not_add_up():
    rows = published_results("mcdonnell_2019")
    cell = {(r["table"], r["row"], r["column"], r["metric"]): r for r in rows}

    def recall(row):
        return cell["Table 4", row, "deltas=true", "recall"]["value"]

    score = cell["Table 4", "all", "deltas=true", "score"]
    mean = (recall("known") + recall("unknown")) / 2
    assert mean == pytest.approx(0.7115) and score["value"] == 0.711 and "0.7115" in score["note"]
    # Test clips a class of the official split: what raw accuracy of the known ones follows from.
    clips = {"airport": 421, "bus": 415, "metro": 433, "metro_station": 435, "park": 386,
             "public_square": 387, "shopping_mall": 441, "street_pedestrian": 429,
             "street_traffic": 402, "tram": 436}  # fmt: skip
    raw = sum(recall(name) * number for name, number in clips.items()) / sum(clips.values())
    known = cell["Table 1", "known", "deltas=true", "accuracy"]
    unknown = cell["Table 1", "unknown", "deltas=true", "accuracy"]
    assert f"{raw:.3f}" in known["note"] and known["value"] - raw > 0.1
    assert f"{recall('unknown')}" in unknown["note"] and unknown["value"] < recall("unknown")
    without = cell["Table 1", "known", "deltas=false", "accuracy"]["value"]
    assert without > known["value"] and "deltas make it worse" in known["note"]
    # Where classes are of one size, raw and balanced accuracy are one.
    both = [("Table 1", "B and C", "accuracy"), ("Table 3", "average", "recall")]
    assert len({cell[table, row, "deltas=true", name]["value"] for table, row, name in both}) == 1


def test_table_1_of_the_binaural_networks_is_the_reports(shared):
    """Re-parses the tab-separated table from the report's text."""
    text = (shared / "papers" / "pajusco_2020_binaural_waveforms.txt").read_text(encoding="utf-8")
    metrics = ("accuracy", "loss", "total", "non_zero", "kilobytes")
    expected = {}
    for line in text.splitlines():
        name, *numbers = line.split("\t")
        if len(numbers) == 5 and name.startswith("Model ") and name != "Model name":
            values = [round(float(numbers[0]) / 100, 6), *map(float, numbers[1:])]
            network = name.removeprefix("Model ").lower()
            expected |= {
                (network, metric): value for metric, value in zip(metrics, values, strict=True)
            }
    rows = [row for row in published_results("pajusco_2020") if row["table"] == "Table 1"]
    found = {(row["row"], row["metric"]): row["value"] for row in rows}
    assert len(expected) == len(rows) == 20 and found == expected
    for network in "abcd":
        recipe = recipe_class("binaural_waveforms")(network=network)
        assert {row["dataset"] for row in rows} == {recipe.dataset}
        # Two bytes a weight that is not zero.
        kilobytes = found[network, "non_zero"] * 2 / 1024
        assert f"{kilobytes:.1f}" == str(found[network, "kilobytes"])
    others = {row["row"]: row for row in published_results("pajusco_2020") if row not in rows}
    assert (others["baseline"]["value"], others["limit"]["value"]) == (0.873, 500)
    assert {row["source"] for row in others.values()} == {"cited"}


def test_values_are_numbers_and_calls_are_independent():
    first = published_results("naranjo_2019")
    first[0]["value"] = -1
    assert published_results("naranjo_2019")[0]["value"] == 0.6714


def test_unknown_paper():
    with pytest.raises(ValueError, match="naranjo_2019.*paper=verbitskiy"):
        published_results("verbitskiy")
