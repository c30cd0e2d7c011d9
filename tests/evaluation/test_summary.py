"""What the command line prints of metrics."""

from keras_audio.evaluation import summary_lines

OPEN_SET = {"score": 0.711, "known_recall": 0.62, "unknown_recall": 0.803, "unknown_weight": 5.0}


def printed(**metrics):
    return "\n".join(summary_lines({"accuracy": 0.5, "clips": 30} | metrics))


def test_open_set():
    text = printed(open_set=OPEN_SET)
    assert "score                    0.7110  known 0.6200, unknown 0.8030" in text
    assert "unknown_weight           5" in text.splitlines() and "flatters" not in text
    fair = {"score": 0.7, "known_recall": 0.6, "unknown_recall": 0.8}
    text = printed(open_set=OPEN_SET | {"cross_fitted": fair})
    assert "flatters" in text and "cross-fitted      0.7000  known 0.6000" in text
    text = printed(open_set=OPEN_SET | {"cross_fitted": None, "score": None})
    assert "too few recordings" in text and "score                    none" in text


def test_groups_and_members():
    group = {"accuracy": 0.66, "balanced_accuracy": 0.65, "clips": 20}
    member = {"path": "runs/a", "accuracy": 0.4, "balanced_accuracy": 0.3}
    text = printed(groups={"device": {"B and C": group}}, members=[member])
    assert "device B and C           0.6600  balanced 0.6500, 20 clips" in text
    assert text.endswith(
        "member 1                 runs/a: accuracy 0.4000, balanced_accuracy 0.3000"
    )
    member = {"path": "runs/a", "tuned_score": 0.6}
    assert printed(members=[member]).endswith("runs/a: tuned_score 0.6000")
    assert printed().splitlines() == ["accuracy                 0.5000", f"{'clips':24} 30"]
