"""Public functions of the strict rooms say what each argument is."""

import ast
import re
from pathlib import Path

import auricle

PACKAGE = Path(auricle.__file__).parent
ROOMS = ("core", "metrics", "audio")
# Functions from before this check whose docstring has no entry for each argument. The list only ever gets shorter.
KNOWN = frozenset(Path(__file__).with_name("undocumented.txt").read_text().split())


def documented(docstring):
    """Name the entries of the Args section."""
    section = re.search(r"^Args:\n((?:[ \t]+.*(?:\n|$)|\n)*)", docstring, re.MULTILINE)
    return set(re.findall(r"^ {4}\*{0,2}(\w+)(?: \([^)]*\))?:", section[1], re.MULTILINE)) if section else set()


def gaps(source):
    """Give public functions and methods of a module and the arguments that their docstrings leave out."""
    found = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                every = [
                    *node.args.posonlyargs,
                    *node.args.args,
                    *node.args.kwonlyargs,
                    node.args.vararg,
                    node.args.kwarg,
                ]
                names = [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]
                missing = [name for name in names if name not in documented(ast.get_docstring(node) or "")]
                if missing:
                    found[prefix + node.name] = missing

    visit(ast.parse(source).body, "")
    return found


def offenders():
    found = {}
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            for name, missing in gaps(path.read_text(encoding="utf-8")).items():
                found[f"{path.relative_to(PACKAGE).as_posix()}:{name}"] = missing
    return found


def test_the_checker_sees_what_is_missing():
    source = (
        'def f(a, *, b, **c):\n    """One.\n\n    Args:\n        a: x.\n            more: text\n        c: y.\n\n'
        '    Returns:\n        b: z.\n    """\n'
        'class K:\n    def g(self, d):\n        """One."""\n    def _h(self, e): ...\n'
    )
    assert gaps(source) == {"f": ["b"], "K.g": ["d"]}


def test_every_public_function_documents_its_arguments():
    new = {name: missing for name, missing in offenders().items() if name not in KNOWN}
    assert not new, "give each argument a line under Args"
