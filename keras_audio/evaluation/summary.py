"""Metrics as the lines that a terminal shows."""

from collections.abc import Iterator, Mapping
from typing import Any

# One class a clip, or any number: each has metrics of its own.
_NAMES = ("accuracy", "balanced_accuracy", "mean_average_precision", "mean_roc_auc", "clips")


def summary_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The headline numbers of `evaluate_run` or `evaluate_ensemble`, one a line.

    Example:
        >>> for line in summary_lines({"accuracy": 0.75, "clips": 40}):
        ...     print(line)
        accuracy                 0.7500
        clips                    40
    """
    if "imported_from" in metrics:
        yield f"{'imported from':24} {metrics['imported_from']}"
    for name in _NAMES:
        if name in metrics:
            yield _line(name, metrics[name])
    if open_set := metrics.get("open_set"):
        yield _line("score", open_set["score"]) + f"  {_recalls(open_set)}"
        yield f"{'unknown_weight':24} {open_set['unknown_weight']:.4g}"
        if "cross_fitted" in open_set:
            yield "the weight is tuned on these very clips, so that the score flatters"
            if fair := open_set["cross_fitted"]:
                yield _line("score, cross-fitted", fair["score"]) + f"  {_recalls(fair)}"
            else:
                yield "there are too few recordings to tune it on half of them"
    for attribute, groups in metrics.get("groups", {}).items():
        for name, group in groups.items():
            yield _line(f"{attribute} {name}", group["accuracy"]) + (
                f"  balanced {group['balanced_accuracy']:.4f}, {group['clips']} clips"
            )
    members = metrics.get("members", [])
    for number, member in enumerate(members, start=1):
        numbers = (f"{name} {_plain(member[name])}" for name in member if name != "path")
        yield f"{f'member {number}':24} {member['path']}: {', '.join(numbers)}"


def _recalls(open_set: Mapping[str, Any]) -> str:
    recalls = (_plain(open_set[f"{name}_recall"]) for name in ("known", "unknown"))
    return "known {}, unknown {}".format(*recalls)


def _line(name: str, value: float | None) -> str:
    return f"{name:24} {_plain(value)}"


def _plain(value: float | None) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "none" if value is None else str(value)
