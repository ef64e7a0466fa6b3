"""Typed, frozen configs: strict keys, dotted overrides, JSON in and out. A config never names code to run."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from auricle.core.errors import ConfigError


class Config(BaseModel):
    """A frozen group of settings; unknown keys are refused.

    A class whose settings were renamed names them in `renamed`, old name -> new: a config that an older version wrote
    is then read as today's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _with_new_names(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not cls.renamed.keys() & values.keys():
            return values
        return {cls.renamed.get(key, key): value for key, value in values.items()}


C = TypeVar("C", bound=Config)


def keys(cls: type[BaseModel], prefix: str = "") -> list[str]:
    """List every settable key of a config class in dotted form."""
    found: list[str] = []
    for name, field in cls.model_fields.items():
        inner = _config_class(field.annotation)
        found += keys(inner, f"{prefix}{name}.") if inner else [prefix + name]
    return found


def override(config: C, assignments: Sequence[str]) -> C:
    """Apply ``key.path=value`` assignments and give a new, validated config.

    Values are read as JSON where they are JSON (``3``, ``1e-4``, ``true``, ``["a","b"]``), otherwise as text.

    Raises:
        ConfigError: no ``=``, an unknown key (with the nearest valid one), or a value of the wrong type.
    """
    values = config.model_dump(mode="json")
    valid = keys(type(config))
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"'{assignment}' is not a setting; write key=value, such as train.max_steps=100")
        if key not in valid:
            raise ConfigError(_unknown(key, valid))
        group = values
        *parents, last = key.split(".")
        for parent in parents:
            group = group[parent]
        group[last] = _parse(text)
    return parse(type(config), values)


def parse(cls: type[C], values: Any) -> C:
    """Validate plain values as a config of class `cls`.

    Raises:
        ConfigError: every wrong key and value, with what was expected.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        valid = keys(cls)
        problems = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                problems.append(_unknown(key, valid))
            else:
                given = "" if item["type"] == "missing" else f" (given: {item['input']!r})"
                problems.append(f"{key or cls.__name__}: {item['msg']}{given}")
        raise ConfigError("; ".join(problems)) from None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _unknown(key: str, valid: list[str]) -> str:
    tails = {name.rsplit(".", 1)[-1]: name for name in reversed(valid)}
    near = difflib.get_close_matches(key, valid, n=1) or [
        tails[tail] for tail in difflib.get_close_matches(key.rsplit(".", 1)[-1], tails, n=1)
    ]
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown setting '{key}'; {hint}Valid settings: {', '.join(valid)}"


def _config_class(annotation: Any) -> type[BaseModel] | None:
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = list(typing.get_args(annotation))
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
