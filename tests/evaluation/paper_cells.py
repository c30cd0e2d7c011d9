"""The tables of the papers' own texts, cell by cell, parsed anew: what the data is held against."""

import re

TEXTS = {
    "naranjo_2019": "naranjo_2019_residual_blocks.txt",
    "verbitskiy_2022": "verbitskiy_2022_erann.txt",
    "mcdonnell_2019": "mcdonnell_2019_two_path.txt",
    "pajusco_2020": "pajusco_2020_binaural_waveforms.txt",
    "colangelo_2021": "colangelo_2021_progressive_resizing.txt",
}


def text_of(shared, paper):
    return (shared / "papers" / TEXTS[paper]).read_text(encoding="utf-8")


def cells_of(shared, paper):
    """(table, data set, row, column, metric) -> the cell of every table of results, as printed."""
    text = text_of(shared, paper)
    found = {}
    for key, cell in globals()[paper](text):
        assert key not in found
        found[key] = cell
    return found


def lines_with_tabs(text):
    return [line.split("\t") for line in text.splitlines() if "\t" in line]


def naranjo_2019(text):
    inputs = {
        "No": "none",
        "Scale max": "max_abs",
        "Mean 0 Std 1": "standard",
        "log Mel-Spectrogram": "log_mel",
    }
    metrics = {"Validation acc": "validation_accuracy", "Training acc": "training_accuracy"}
    column = None
    for cells in lines_with_tabs(text):
        if len(cells) == 8 and cells[1] in metrics:
            column = inputs[cells[0]] if cells[0] else column
            for block, cell in enumerate(cells[2:], start=1):
                assert re.fullmatch(r"[\d.]+%", cell)
                yield ("Table II", "urbansound8k", f"rb{block}", column, metrics[cells[1]]), cell


def _plain(text):
    """A cell without its reference and its spaces."""
    return re.sub(r" \[\d+\]$", "", text.strip())


def _tables_of_erann(text):
    """Lists of cells of each table of the text: the lines after its caption with tabs."""
    tables, number = {}, None
    for line in text.splitlines():
        if caption := re.match(r"Table (\d):", line):
            tables[number := int(caption[1])] = []
        elif number and "\t" in line:
            tables[number].append([_plain(cell) for cell in line.split("\t")])
        elif number and tables[number] and line.strip():
            number = None
    return tables


def verbitskiy_2022(text):
    tables = _tables_of_erann(text)
    datasets = dict.fromkeys((3, 4, 5), "audioset") | dict.fromkeys((6, 7), "esc50")
    datasets |= {8: "urbansound8k", 9: "ravdess"}

    def ours(name):
        return name.startswith("ERANN")

    def keyed(table, name, column, metric, cell):
        cell = {r"\checkmark": "✓", r"\times": "✗"}.get(cell, cell)
        if cell not in ("—", ""):
            row = name.lower().replace("-", "_") if ours(name) else name
            yield (f"Table {table}", datasets[table], row, column, metric), cell

    mixups = [None, "none", "standard", "between_class", "between_class_log_mel"]
    # The column of t_c is lost in the text, which says 8 above and 4, 8, 10 of the last three.
    lengths = iter([8, 8, 8, 8, 8, 4, 8, 10])
    for name, spec, mixup, value in tables[3][1:]:
        settings = {"✓": "true", "✗": "false"}[spec], mixups[int(mixup)]
        column = "crop_duration={} spec_augment={} mixup={}".format(next(lengths), *settings)
        yield from keyed(3, name, column, "mean_average_precision", value)
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
                yield from keyed(table, name, shift, metric, cell)
            if table in (4, 5):
                column = "scratch" if ours(name) else ""
                yield from keyed(table, name, column, "mean_average_precision", *values)
                continue
            for column, cell in zip(("scratch", "fine_tune"), values, strict=True):
                yield from keyed(table, name, f"{column} {shift}".strip(), "accuracy", cell)


def mcdonnell_2019(text):
    lines = lines_with_tabs(text)
    first = (("all", "1a"), ("A", "1b"), ("B and C", "1b"), ("known", "1c"), ("unknown", "1c"))
    raw = [cells for cells in lines if re.match(r"1[abc]", cells[0])]
    for (row, task), cells in zip(first, raw, strict=True):
        for column, cell in zip(("deltas=false", "deltas=true"), cells[1:3], strict=True):
            yield ("Table 1", f"tau_urban_2019/{task}", row, column, "accuracy"), cell
    names = {
        "Average": "average",
        "Known class average": "known",
        "Overall average": "average",
        "Evaluation score": "all",
    }
    tasks = {2: "1a", 3: "1b", 4: "1c"}
    table = 1
    for name, *cells in lines:
        if name == "Class":
            table += 1
        elif table > 1 and len(cells) == 2:
            row = names.get(name, name.replace(" ", "_"))
            for metric, cell in zip(("recall", "precision"), cells, strict=True):
                if cell != "N/A":
                    metric = "score" if row == "all" else metric
                    dataset = f"tau_urban_2019/{tasks[table]}"
                    yield (f"Table {table}", dataset, row, "deltas=true", metric), cell


def pajusco_2020(text):
    metrics = ("accuracy", "loss", "total", "non_zero", "kilobytes")
    for name, *cells in lines_with_tabs(text):
        if len(cells) == 5 and re.fullmatch("Model [A-D]", name):
            for metric, cell in zip(metrics, cells, strict=True):
                yield ("Table 1", "tau_urban_2020_3class", name[-1].lower(), "", metric), cell


def colangelo_2021(text):
    lines = lines_with_tabs(text)
    starts = [n for n, cells in enumerate(lines) if cells[0] in ("Learning rate", "Split")]
    ends = [*starts[1:], len(lines)]
    rates, *accuracies = (lines[start:end] for start, end in zip(starts, ends, strict=True))
    for name, *cells, epochs in rates[1:]:
        plan = "progressive" if "R" in name else "baseline"
        number = int(name[2 if plan == "baseline" else 3])
        if plan == "progressive":
            number += 2 * (int(name.rstrip("}")[-1]) - 1)
        for dataset, cell in zip(("urbansound8k", "esc50"), cells, strict=True):
            key = ("Table 1", dataset, plan, f"stage={number}")
            yield (*key, "learning_rate"), cell.replace("{", "").replace("}", "")
            yield (*key, "epochs"), epochs
    methods = ("baseline", "mel", "bilinear")
    names = ("Table 2", "urbansound8k"), ("Table 3", "esc50")
    for (table, dataset), lines in zip(names, accuracies, strict=True):
        splits = len(lines) - 2
        for name, *cells in lines[1:]:
            for method, cell in zip(methods, cells, strict=True):
                if name == "Average":
                    for metric, part in zip(
                        ("mean_accuracy", "deviation"), cell.split("±"), strict=True
                    ):
                        yield (table, dataset, method, "", metric), part
                else:
                    column = f"fold={splits - int(name)}"
                    yield (table, dataset, method, column, "accuracy"), cell
