"""What a trained run is worth: metrics, predictions, the report, and the papers' own numbers."""

import importlib

# Imported when first used: measuring numbers must not wait for TensorFlow.
_LAZY = {
    "Aggregate": "aggregation",
    "Mistake": "report",
    "aggregate": "aggregation",
    "best_unknown_weight": "open_set",
    "card_facts": "run_facts",
    "check_published": "published_checks",
    "classification_metrics": "metrics",
    "compare_paired": "paired",
    "cross_fitted_scores": "open_set",
    "ensemble_folder": "ensemble",
    "evaluate_ensemble": "ensemble",
    "evaluate_run": "evaluate",
    "evaluation_folder": "evaluate",
    "measure_compression": "compression",
    "measure_parity": "parity",
    "metrics_by_group": "metrics",
    "open_set_scores": "open_set",
    "prediction_rows": "predictions",
    "published_papers": "published",
    "published_results": "published",
    "published_tables": "published_layout",
    "published_title": "published_layout",
    "read_predictions": "predictions",
    "read_stages": "compression",
    "render_card": "model_card",
    "stages_table": "compression",
    "summary_lines": "summary",
    "tagging_metrics": "metrics",
    "wilson_interval": "metrics",
    "worst_mistakes": "report",
    "worst_rankings": "report",
    "write_export_card": "model_card",
    "write_model_card": "model_card",
    "write_predictions": "predictions",
    "write_report": "report",
}

__all__ = list(_LAZY)


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
