"""The committed numbers against the texts of the papers themselves, cell by cell."""

import pathlib
import re

import pytest
from paper_cells import TEXTS, cells_of, text_of

from keras_audio.evaluation import published
from keras_audio.evaluation.published import published_papers, published_results
from keras_audio.recipes import recipe_class, with_settings

PAPERS = tuple(TEXTS)
FIELDS = (
    *("paper", "table", "row", "column", "metric", "value", "printed", "dataset", "protocol"),
    *("source", "check", "note"),
)
KEYS = ("table", "dataset", "row", "column", "metric")
# What depends on no protocol.
PLAIN = ("parameters", "end_to_end", "times_smaller", "total")
# Rows of the two-path report's tables beside the ten known classes.
NO_CLASS = ("average", "known", "unknown")


def key_of(result):
    return tuple(result[key] for key in KEYS)


def number_of(text):
    """What a cell or a phrase of a text says."""
    if text in ("✓", "✗"):
        return float(text == "✓")
    if text == "OOM":
        return None
    if power := re.fullmatch(r"(?:(\d+)×)?10\^-(\d)", text):
        return float(f"{power[1] or 1}e-{power[2]}")
    digits, unit = re.fullmatch(r"([\d.,]+)(%|x|M| million| KB)?", text).groups()
    return float(digits.replace(",", "")) * {"%": 0.01, "M": 1e6, " million": 1e6}.get(unit, 1)


@pytest.mark.parametrize("paper", PAPERS)
def test_every_cell_of_every_table_is_the_papers(shared, paper):
    """Parses the tab-separated tables of the paper's text anew."""
    results = [row for row in published_results(paper) if row["table"].startswith("Table")]
    found = {key_of(row): row["printed"] for row in results}
    assert len(found) == len(results) and found == cells_of(shared, paper)


@pytest.mark.parametrize("paper", PAPERS)
def test_values_are_what_is_printed(paper):
    bare_percents = {"accuracy", "mean_accuracy", "deviation"}
    for row in published_results(paper):
        if row["printed"] == "the same number":
            assert row["value"] == 1
            continue
        value = number_of(row["printed"])
        if paper == "verbitskiy_2022" and row["metric"] == "parameters":
            value *= 1e6
        elif paper in ("pajusco_2020", "colangelo_2021") and row["metric"] in bare_percents:
            value *= 1 if "%" in row["printed"] else 0.01
        assert value is row["value"] is None or row["value"] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("paper", PAPERS)
def test_numbers_of_the_text_stand_in_it(shared, paper):
    text = text_of(shared, paper)
    for row in published_results(paper):
        if not row["table"].startswith("Table") and row["source"] != "original code":
            assert row["printed"].replace(" million", "") in text.replace(" %", "%")
            assert row["table"].split()[0] in ("Section", "Abstract")


@pytest.mark.parametrize("paper", PAPERS)
def test_every_number_is_told_by_the_same_fields(paper):
    results = published_results(paper)
    assert len({(*key_of(row), row["source"]) for row in results}) == len(results)
    for row in results:
        assert tuple(row) == FIELDS and row["paper"] == paper
        assert row["source"] in ("paper", "cited", "original code")
        assert row["check"] in ("", "recomputed", "differs")
        assert all(row[key] for key in ("table", "row", "metric", "dataset", "printed"))
        compressed = paper == "pajusco_2020" and row["metric"] == "times_smaller"
        free = row["metric"] in PLAIN and not compressed or row["row"] == "limit"
        assert bool(row["protocol"]) != free, row


def test_papers_are_those_of_the_citation_file(shared):
    papers = published_papers()
    assert tuple(paper.key for paper in papers) == PAPERS
    root = pathlib.Path(__file__).parents[2]
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    references = citation.split("references:")[1].split("  - type: ")[1:]
    for paper, reference in zip(papers, references, strict=True):
        kind, title, year, *_ = reference.splitlines()
        assert (kind, f'    title: "{paper.title}"') == (paper.type, title)
        assert year == f"    year: {paper.year}" and paper.key.endswith(f"_{paper.year}")
        names = re.findall(r'family-names: "(.+)"\n *given-names: "(.+)"', reference)
        assert paper.authors == tuple(f"{given} {family}" for family, given in names)
        text = text_of(shared, paper.key)
        assert paper.title.lower() in text.lower()
        for author in paper.authors:
            assert author.split()[-1] in text
        assert paper.code in text and paper.url in text


def test_files_beside_the_numbers_are_no_papers():
    for name in ("papers", "tables", "titles"):
        assert published.read_table(name)
        with pytest.raises(ValueError, match=f"naranjo_2019.*paper={name}"):
            published_results(name)


def test_original_code():
    rows = [row for row in published_results("naranjo_2019") if row["source"] == "original code"]
    assert {row["row"]: row["value"] for row in rows} == {
        "m3": 0.673,
        "m5": 0.743,
        "m11": 0.752,
        "m18": 0.710,
        "rb6": 0.725,
    }
    assert {(row["table"], row["column"]) for row in rows} == {("Original code", "standard")}


def test_rows_and_columns_name_recipes():
    """Every number can be matched with a recipe: rows are blocks or plain networks."""
    for row in published_results("naranjo_2019"):
        if row["metric"] == "parameters":
            continue
        field = "block" if row["row"].startswith("rb") else "network"
        recipe = recipe_class("residual_blocks")(
            **{field: row["row"], "normalization": row["column"], "dataset": row["dataset"]}
        )
        assert 0 < row["value"] <= 1
        assert f"fold {recipe.fold} held out" in row["protocol"]


def test_validation_accuracies_are_shares_of_837_clips():
    """Which tells that the held-out fold is the tenth; some are rounded and some are cut."""
    rows = published_results("naranjo_2019")
    found = [row["value"] for row in rows if row["metric"] == "validation_accuracy"][:24]

    def explained(clips):
        return sum(abs(value - round(clips * value) / clips) < 1e-4 for value in found)

    assert explained(837) == 24
    assert all(explained(clips) < 12 for clips in (873, 888, 925, 990, 936, 823, 838, 806, 816))


def test_sizes_of_the_papers_are_those_of_our_networks():
    """Of which the tests of the networks hold the counts."""
    from test_binaural import PAPER as BINAURAL
    from test_erann import ROWS as ERANN
    from test_residual_blocks import TOTALS as BLOCKS

    sizes = {
        (paper, row["table"], row["row"], row["column"]): row
        for paper in PAPERS
        for row in published_results(paper)
        if row["metric"] in ("parameters", "total") and row["source"] == "paper"
    }
    for block in range(1, 7):
        size = sizes.pop(("naranjo_2019", "Section III", f"rb{block}", ""))
        assert size["value"] == BLOCKS[f"m34_res_rb{block}"]
        flat = BLOCKS[f"spectrogram_res_rb{block}"]
        of_2d = sizes["naranjo_2019", "Section III", "all", "log_mel"]
        assert f"{flat}" in of_2d["note"] and 0 <= flat - of_2d["value"] < 12_000
    del sizes["naranjo_2019", "Section III", "all", "log_mel"]
    for network, count in BINAURAL.items():
        assert sizes.pop(("pajusco_2020", "Table 1", network[-1], ""))["value"] == count
    two_path = sizes.pop(("mcdonnell_2019", "Section 3.4", "all", ""))
    for count in (3_246_108, 3_247_416):
        assert f"{count}" in two_path["note"] and f"{count / 1e6:.1f}" in two_path["printed"]
    millions = {(table, name): text for table, name, _, text in ERANN}
    # Tables of systems repeat them, and that of AudioSet those of another data set.
    table_of = {"Table 5": "Table 4", "Table 7": "Table 6"}
    wrong = []
    for (paper, table, network, _), size in sizes.items():
        assert paper == "verbitskiy_2022"
        if size["printed"] != millions[table_of.get(table, table), network]:
            wrong.append((table, network, size["printed"]))
    assert wrong == [("Table 5", "erann_2_5", "37.9"), ("Table 5", "erann_1_6", "54.2")]


def test_rows_and_columns_of_erann_name_recipes():
    for row in published_results("verbitskiy_2022"):
        if row["row"].startswith("erann"):
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


def test_rows_and_columns_of_the_two_path_network_name_recipes():
    for row in published_results("mcdonnell_2019"):
        assert row["source"] == "paper" and row["column"] in ("", "deltas=false", "deltas=true")
        assert ("validation split" in row["protocol"]) == bool(row["column"])
        if row["column"]:
            recipe = with_settings(recipe_class("two_path")(), [row["column"]])
            assert recipe.deltas == (row["column"] == "deltas=true")


def test_what_the_binaural_report_cites_of_the_challenge():
    rows = published_results("pajusco_2020")
    assert {row["dataset"] for row in rows} == {recipe_class("binaural_waveforms")().dataset}
    cited = {row["row"]: row["value"] for row in rows if row["source"] == "cited"}
    assert cited == {"baseline": 0.873, "limit": 500}
    assert {row["row"] for row in rows} == {*"abcd", *cited}


def test_values_are_numbers_and_calls_are_independent():
    first = published_results("naranjo_2019")
    first[0]["value"] = -1
    assert published_results("naranjo_2019")[0]["value"] == 0.6714


def test_unknown_paper():
    with pytest.raises(ValueError, match="naranjo_2019.*paper=verbitskiy"):
        published_results("verbitskiy")
