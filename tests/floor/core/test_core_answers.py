"""The answer about real or fake, as JSON."""

import json

from auricle.core.answers import Detection, Segment


def test_a_full_answer_has_no_reason():
    full = Detection("a.wav", 1.23456789, 0.87654321, "bonafide", -0.5, 2.0, [Segment(0.0, 0.5, 1.0)], ("odd: yes",))
    assert full.as_dict() == {
        "input": "a.wav",
        "reason": None,
        "score": 1.234568,
        "p_bonafide": 0.876543,
        "label": "bonafide",
        "threshold": -0.5,
        "duration_s": 2.0,
        "segments": [{"start_s": 0.0, "end_s": 0.5, "score": 1.0}],
        "warnings": ["odd: yes"],
    }


def test_what_is_not_known_is_null_and_the_reason_stands_before_the_score():
    found = Detection("a.wav", 1.0, None, None, None, 2.0, reason="uncalibrated: nobody did").as_dict()
    assert list(found)[:3] == ["input", "reason", "score"]
    assert found["reason"] == "uncalibrated: nobody did"
    assert [found[name] for name in ("p_bonafide", "label", "threshold")] == [None, None, None]
    assert json.loads(json.dumps(found)) == found
