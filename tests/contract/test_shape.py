"""The shape of the house: no circle of imports, no way back up, and inference that carries no training with it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from auricle.systems import NAMES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "auricle"
HEAVY = ("auricle.train.loop", "auricle.report.html")  # what answering needs neither of


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(name: str, path: Path) -> set[str]:
    """Name the modules of ours that a file imports at its top, under TYPE_CHECKING too; not inside functions."""
    found: set[str] = set()
    waiting: list[ast.AST] = [*ast.parse(path.read_text(encoding="utf-8")).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # of a package either a module in it, or a name that its __init__ gives
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules() else node.module)
        else:
            waiting += ast.iter_child_nodes(node)
    return {one for one in found if one in modules() and one != name}


@cache
def graph() -> dict[str, set[str]]:
    return {name: imported(name, path) for name, path in modules().items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Find circles of imports: strongly connected parts of more than one module (Tarjan 1972, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for root in edges:
        work = [(root, iter(sorted(edges[root])))] if root not in order else []
        if work:
            order[root] = low[root] = len(order)
            stack.append(root)
        while work:
            node, inner = work[-1]
            following = next(inner, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    part = []
                    while not part or part[-1] != node:
                        part.append(stack.pop())
                    if len(part) > 1:
                        found.append(sorted(part))
            elif following not in order:
                order[following] = low[following] = len(order)
                stack.append(following)
                work.append((following, iter(sorted(edges[following]))))
            elif following in stack:
                low[node] = min(low[node], order[following])
    return found


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_there_is_no_circle_of_imports():
    assert circles(graph()) == []


def test_nothing_below_imports_the_root_of_the_package():
    assert [name for name, others in graph().items() if "auricle" in others] == []


def test_systems_are_found_by_name_in_one_place():
    users = {name for name, path in modules().items() if "import_module(" in path.read_text(encoding="utf-8")}
    assert {name for name in users if name.startswith("auricle.systems")} == {"auricle.systems"}


def test_a_report_is_put_together_in_one_place():
    makers = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Report"
    }
    assert makers == {"auricle.core.report", "auricle.report.evaluation"}


@pytest.mark.parametrize("name", NAMES)
def test_answering_loads_neither_training_nor_pages(name):
    code = (
        f"import sys, auricle.systems.{name}.infer; print(*[one for one in {HEAVY!r} if one in sys.modules], sep=', ')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_the_rule_that_systems_are_apart_names_all_of_them():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    apart = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    assert apart == [sorted(f"auricle.systems.{name}" for name in NAMES)]
