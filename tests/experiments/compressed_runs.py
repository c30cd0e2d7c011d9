"""Folders of runs as training, `evaluate` and `compress` leave them, but for the weights."""

import dataclasses

from binaural_waveforms_cells import build_recipe, build_variant, derived, read_runs
from grid import expand

from keras_audio.evaluation.compression import Stage, write_stages
from keras_audio.files import write_json, write_text
from keras_audio.training.opening import file_digest

TAU = "tau_urban_2020_3class"
TOYS = "toy_scenes/3class"


def all_cells(experiment, *arguments):
    return list(experiment.grid(experiment.parse(arguments)))


ENVIRONMENT = {
    "processor": "abacus",
    "cores": 2,
    "memory_gib": 8,
    "devices": ["CPU"],
    "packages": {"tensorflow": "2", "keras": "3"},
    "backend": "tensorflow",
    "commit": "abc",
}


def stage(name, accuracy, kilobytes, kept=True, **values):
    """A stage whose numbers follow from what its non-zero weights take."""
    non_zero = int(kilobytes * 512)
    usual = {
        "loss": 2 * (1 - accuracy),
        "total": 30_080,
        "non_zero": non_zero,
        "kilobytes": kilobytes,
        "stored": 30_700,
        "stored_kilobytes": 119.9,
        "macs": 45_000_000,
        "file": "keras",
        "file_bytes": 160 * 1024,
        "latency_ms": 8.0 if kept else None,
    }
    return Stage(name, kept, accuracy, **usual | values)


def stages(accuracy, rounds=2, smaller=1.0):
    """A network of 58 KB, a tenth less a round, of which the last is not good enough."""
    sizes = [58.0 * smaller * 0.9**number for number in range(rounds + 1)]
    found = [stage("whole", accuracy, sizes[0], kept=rounds == 0, latency_ms=8.0)]
    for number in range(1, rounds + 1):
        kept = number == max(rounds - 1, 1)
        found.append(stage(f"round {number}", accuracy - 0.01 * number, sizes[number], kept))
    kept = next(one for one in found if one.kept)
    small = {"stored": 24_000, "total": kept.non_zero + 300}
    found += [
        stage("shrunk", kept.accuracy, kept.kilobytes, **small, stored_kilobytes=93.8),
        stage("half", kept.accuracy - 0.0025, kept.kilobytes, **small, stored_kilobytes=46.9,
              file="fp16 npz", file_bytes=51_200),
        stage("litert", kept.accuracy, kept.kilobytes, **small, stored_kilobytes=46.9,
              file="fp16 LiteRT", file_bytes=56_320, latency_ms=3.25),
    ]  # fmt: skip
    return found


def write_run(runs, network, dataset, found, fold=1, seed=0, settings=(), **asked):
    """The folder of a run and its compression with stages that were measured."""
    recipe = build_recipe(network, dataset, [f"fold={fold}", f"seed={seed}", *settings])
    (cell,) = expand([build_variant(recipe, runs, asked)], [fold], [seed])
    path, compressed = cell.path, cell.compressed
    for folder in (path, compressed):
        write_json(folder / "environment.json", ENVIRONMENT | {"commit": folder.name[:10]})
        write_json(folder / "recipe.json", recipe.to_dict())
        write_text(folder / "labels.txt", "bus\npark\nmetro")
        write_text(folder / "model.keras", f"weights {fold} {seed}")
    write_json(path / "done.json", {"epochs": 40, "best_epoch": 25, "seconds": 600})
    write_json(path / "metrics.json", {"accuracy": 0.5, "mean_average_precision": 0.95})
    rounds = [one for one in found if one.stage.split()[0] in ("whole", "round")]
    lines = ["round,total,non_zero,kilobytes,score,loss,epochs,seconds"]
    lines += [
        f"{number},30080,{one.non_zero},{one.kilobytes},0.75,0.5,{9 if number else 40},"
        f"{90.0 if number else 600.0}"
        for number, one in enumerate(rounds)
    ]
    write_text(compressed / "rounds.csv", "\n".join(lines) + "\n")
    kept = next(number for number, one in enumerate(rounds) if one.kept)
    stored = dataclasses.asdict(cell.compression) | {"kept": kept, "reason": "the score fell"}
    stored |= {"source": "..", "model": file_digest(path / "model.keras")}
    write_json(compressed / "compression.json", stored)
    write_stages(compressed / "stages.csv", found)
    return cell


def rows_of(runs, dataset):
    rows = read_runs(runs / "binaural_waveforms", dataset)
    return [row | derived(row) for row in rows]


def lines_of(text, heading):
    """The first table of the section that begins with `heading`: its header and its lines."""
    section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [dict(zip(header, line, strict=True)) for line in lines]
