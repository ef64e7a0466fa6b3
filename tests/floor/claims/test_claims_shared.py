import pytest

from auricle.claims.shared import once, prepared
from auricle.core.config import Config
from auricle.core.errors import ConfigError


class Settings(Config):
    seed: int = 0


def test_numbers_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"eer": 0.1 + 0.2, "scores": [1, 2]}

    first = once(tmp_path / "a" / "numbers.json", make)
    assert once(tmp_path / "a" / "numbers.json", make) == first == {"eer": 0.1 + 0.2, "scores": [1, 2]}
    assert made == [1]


def test_data_are_prepared_once_and_other_settings_refused(tmp_path):
    calls = []

    def prepare(cfg, run):
        calls.append(cfg.seed)
        return {"clips": 3}

    for _ in range(2):
        run = prepared(tmp_path / "data", "mambo", "smoke", Settings(), prepare)
    assert calls == [0]
    assert run.facts("prepare") == {"clips": 3}
    with pytest.raises(ConfigError, match="another config"):
        prepared(tmp_path / "data", "mambo", "smoke", Settings(seed=1), prepare)
