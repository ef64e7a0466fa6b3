from typing import Literal

import pytest

from auricle.core.config import Config, keys, override, parse
from auricle.core.errors import ConfigError


class Inner(Config):
    size: int = 3
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ("x",)


class Outer(Config):
    seed: int = 0
    inner: Inner = Inner()
    spare: Inner | None = None


def test_keys_are_dotted_and_reach_into_optional_groups():
    assert keys(Outer) == [
        "seed",
        "inner.size",
        "inner.kind",
        "inner.names",
        "spare.size",
        "spare.kind",
        "spare.names",
    ]


def test_override_reads_json_and_plain_text():
    cfg = override(Outer(), ["seed=7", "inner.kind=b", 'inner.names=["p","q"]'])
    assert cfg == Outer(seed=7, inner=Inner(kind="b", names=("p", "q")))


def test_override_leaves_the_original_alone():
    cfg = Outer()
    override(cfg, ["seed=7"])
    assert cfg.seed == 0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("seed", "not a setting; write key=value"),
        ("sede=1", "did you mean 'seed'"),
        ("size=1", "did you mean 'inner.size'"),
        ("inner.size=many", r"inner.size: .*integer.*given: 'many'"),
        ("inner.kind=c", r"inner.kind: .*'a' or 'b'"),
        ("inner=3", "unknown setting 'inner'"),
    ],
)
def test_wrong_settings_say_what_is_right(assignment, message):
    with pytest.raises(ConfigError, match=message):
        override(Outer(), [assignment])


def test_parse_names_unknown_keys():
    with pytest.raises(ConfigError, match=r"unknown setting 'inner.sise'; did you mean 'inner.size'"):
        parse(Outer, {"inner": {"sise": 3}})


def test_configs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Outer().seed = 3
