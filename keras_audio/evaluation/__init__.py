"""What a trained run is worth: metrics, predictions, the report, and the papers' own numbers."""
