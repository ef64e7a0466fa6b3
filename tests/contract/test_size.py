"""How large a file, a function and a system may be. Today's offenders stand in tables of numbers that may only fall."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from auricle.systems import NAMES

ROOT = Path(__file__).parents[2]
FILE, FUNCTION, SLICE = 400, 60, 2_000  # lines
FILES: dict[str, int] = {}
FUNCTIONS = {
    "auricle/alm/sampling.py:rollout": 69,
    "auricle/metrics/audit/__init__.py:audit": 62,
    "auricle/train/loop.py:fit": 86,
}
# raised once, by what was mended in 2026-11: refusals before building, content behind paths, one hearing everywhere
SLICES = {"ft_grpo": 2812, "mambo": 2781, "unisrcodec": 2702, "voice_auth": 3017}


def tracked() -> list[str]:
    """Give the package's Python files that git knows; a released tree without git has no others."""
    if not (ROOT / ".git").exists():
        return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "auricle").rglob("*.py"))]
    listed = subprocess.run(["git", "ls-files", "auricle"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if name.endswith(".py") and (ROOT / name).is_file()]


def functions(node: ast.AST, path: str) -> Iterator[tuple[str, int]]:
    """Give every function below a node with its lines, without decorators; an inner one counts to the outer too."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions(child, path)
            continue
        inside = f"{path}{'.' if '.py:' in path else ':'}{child.name}"
        if not isinstance(child, ast.ClassDef):
            yield inside, (child.end_lineno or child.lineno) - child.lineno + 1
        yield from functions(child, inside)


def check(what: str, sizes: Mapping[str, int], limit: int, table: Mapping[str, int]) -> None:
    """Hold sizes to a limit, and what is over it to the number in its table.

    Raises:
        AssertionError: what is over, and every number of the table that is too high or no longer needed.
    """
    said = []
    for name, size in sorted(sizes.items()):
        allowed = max(limit, table.get(name, 0))
        if size > allowed:
            said.append(f"{name} has {size} lines; {what} has at most {allowed}: split it")
        elif name in table and size <= limit:
            said.append(f"{name} has {size} lines and is within the limit: take it out of the table")
        elif name in table and size < table[name]:
            said.append(f"{name} has {size} lines: lower the table to {size}")
    said += [f"{name} is in the table and does not exist: take it out" for name in sorted(table.keys() - sizes.keys())]
    assert not said, "\n".join(said)


def line_counts() -> dict[str, int]:
    return {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in tracked()}


def test_files():
    check("a file", line_counts(), FILE, FILES)


def test_functions():
    sizes: dict[str, int] = {}
    for name in tracked():
        for path, size in functions(ast.parse((ROOT / name).read_text(encoding="utf-8")), name):
            sizes[path] = max(size, sizes.get(path, 0))  # a setter has the name of its property
    check("a function", sizes, FUNCTION, FUNCTIONS)


def test_slices_without_their_claims():
    sizes = dict.fromkeys(NAMES, 0)
    for file, size in line_counts().items():
        parts = Path(file).parts
        if parts[:2] == ("auricle", "systems") and parts[2] in sizes and parts[3] != "claims":
            sizes[parts[2]] += size
    check("a system outside its claims/ folder", sizes, SLICE, SLICES)


@pytest.mark.parametrize(
    ("size", "table", "said"),
    [
        (400, {}, None),
        (450, {"a": 450}, None),
        (401, {}, "at most 400"),
        (451, {"a": 450}, "at most 450"),
        (449, {"a": 450}, "lower the table to 449"),
        (400, {"a": 450}, "take it out"),
        (1, {"b": 450}, "b is in the table"),
    ],
)
def test_the_table_may_only_fall(size, table, said):
    if said is None:
        check("a file", {"a": size}, 400, table)
    else:
        with pytest.raises(AssertionError, match=said):
            check("a file", {"a": size}, 400, table)
