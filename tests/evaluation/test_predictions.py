import numpy as np
import pytest

from keras_audio.evaluation.predictions import prediction_rows, read_predictions, write_predictions

LABELS = ["dog, bark", 'a "rain"', "Straßenmusik"]


def rows(clips=5):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.1] * 3, size=clips).astype(np.float32)
    records = [{"clip_id": f"clip,{i}", "fold": 1, "source": f"s{i // 2}"} for i in range(clips)]
    targets = generator.integers(0, 3, clips)
    return prediction_rows(records, targets, probabilities, LABELS), targets, probabilities


def test_round_trip_is_exact(tmp_path):
    written, targets, probabilities = rows()
    write_predictions(tmp_path / "predictions.csv", written)
    read, labels = read_predictions(tmp_path / "predictions.csv")
    assert labels == LABELS
    assert [row["clip_id"] for row in read] == [f"clip,{i}" for i in range(5)]
    assert [row["target"] for row in read] == [LABELS[target] for target in targets]
    assert [row["fold"] for row in read] == [1] * 5
    columns = np.array([[row[f"p_{label}"] for label in LABELS] for row in read], np.float32)
    np.testing.assert_array_equal(columns, probabilities)
    for row, scores in zip(read, probabilities, strict=True):
        assert row["predicted"] == LABELS[int(scores.argmax())]
        assert np.float32(row["probability"]) == scores.max()
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


def test_several_classes_a_clip(tmp_path):
    clips = [{"clip_id": str(index), "fold": 1, "source": "s"} for index in range(3)]
    probabilities = np.float32([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    written = prediction_rows(clips, [[1, 1, 0], [0, 0, 1], [0, 0, 0]], probabilities, LABELS)
    write_predictions(tmp_path / "p.csv", written)
    read, labels = read_predictions(tmp_path / "p.csv")
    assert labels == LABELS
    assert [row["target"] for row in read] == [f"{LABELS[0]}|{LABELS[1]}", LABELS[2], ""]
    assert [row["predicted"] for row in read] == [LABELS[0], LABELS[2], LABELS[0]]
    columns = np.array([[row[f"p_{label}"] for label in LABELS] for row in read], np.float32)
    np.testing.assert_array_equal(columns, probabilities)
    # A name with the mark of the list is no matter where a clip has but one class.
    assert prediction_rows(clips[:1], [1], [[0, 1]], ["a", "b|c"])[0]["target"] == "b|c"
    with pytest.raises(ValueError, match="without |.*b|c"):
        prediction_rows(clips[:1], [[0, 1]], [[0, 1]], ["a", "b|c"])


def test_attributes_follow_the_source_and_predictions_may_be_given(tmp_path):
    clips = [
        {"clip_id": str(i), "fold": 1, "source": "s", "device": "ab"[i], "city": "p_lyon, bonn"}
        for i in range(2)
    ]
    probabilities = np.float32([[0.6, 0.3, 0.1], [0.6, 0.4, 0]])
    written = prediction_rows(clips, [0, 1], probabilities, LABELS, predicted=[0, 1])
    write_predictions(tmp_path / "p.csv", written)
    read, labels = read_predictions(tmp_path / "p.csv")
    assert labels == LABELS
    assert list(read[0])[:8] == [
        *["clip_id", "fold", "source", "device", "city", "target", "predicted", "probability"]
    ]
    assert [(row["device"], row["city"]) for row in read] == [
        ("a", "p_lyon, bonn"),
        ("b", "p_lyon, bonn"),
    ]
    assert [row["predicted"] for row in read] == LABELS[:2]
    # The probability is that of the class beside it, as it is.
    assert [np.float32(row["probability"]) for row in read] == [np.float32(0.6), np.float32(0.4)]


def test_columns_are_in_order(tmp_path):
    written, _, _ = rows()
    write_predictions(tmp_path / "p.csv", written)
    header = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("clip_id,fold,source,target,predicted,probability,")
    assert header.endswith(',"p_dog, bark","p_a ""rain""",p_Straßenmusik')


def test_lengths_must_agree():
    clip = {"clip_id": "a", "fold": 1, "source": "a"}
    with pytest.raises(ValueError, match="1 clips, 3 labels, 2 targets"):
        prediction_rows([clip], [0, 1], np.ones((1, 3)), LABELS)
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        prediction_rows([clip], [0], np.ones((1, 2)), LABELS)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "predictions.csv"
    with pytest.raises(ValueError, match="predictions.csv"):
        read_predictions(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="columns=a,b"):
        read_predictions(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="predictions.csv"):
        read_predictions(path)
    head = "clip_id,fold,source,target,predicted,probability,p_dog\n"
    path.write_text(head + "a,1,s,dog,dog,0.5,0.5\nb,1,s,dog,dog,high,0.5\n")
    with pytest.raises(ValueError, match="line 3.*high"):
        read_predictions(path)
    path.write_text(head + "a,1,s,dog\n")
    with pytest.raises(ValueError, match="line 2"):
        read_predictions(path)
