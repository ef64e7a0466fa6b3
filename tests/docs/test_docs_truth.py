"""The pages say what is so: paths exist, links resolve, code compiles, versions agree."""

import ast
import importlib
import re
import shutil
import subprocess
import tomllib

import docs_reading as reading
import pytest

import auricle
from auricle.core.names import PAPERS

ROOT = reading.ROOT
PAGES = {str(path.relative_to(ROOT)): path for path in reading.pages()}
SOURCE = (".py", ".md", ".toml", ".cff", ".yaml", ".yml", ".txt")
TOP = ("auricle", "docs", "tests", "benchmarks", ".ci")
TREE = re.compile(r"^auricle/\n((?:  \S.*\n| {4,}.*\n)+)", re.MULTILINE)  # the first level below auricle/


@pytest.fixture(params=PAGES)
def page(request):
    return PAGES[request.param]


@pytest.fixture
def text(page):
    return page.read_text(encoding="utf-8")


def exists(token, page):
    starts = (ROOT, page.parent, ROOT / "auricle", ROOT / "auricle" / "systems")
    if "*" in token:
        return any(next(start.glob(token), None) for start in starts)
    if "/" in token:
        return any((start / token).exists() for start in starts)
    return any((start / token).exists() for start in starts) or any(
        next((ROOT / top).rglob(token), None) for top in TOP
    )


def is_path(token):
    """Say whether inline code names a file of the repository; capital words in it stand for a name of yours."""
    if not re.fullmatch(r"[\w.*/\-]+", token) or re.search(
        r"(?:^|/)[A-Z]+(?:/|\.json|$)", token.removesuffix("LICENSE")
    ):
        return False
    return token.endswith(SOURCE) or (token.split("/")[0] in TOP and "/" in token)


def test_every_path_exists(page, text):
    tokens = {token for token in reading.inline(text) if is_path(token)}
    # the user's own files in examples
    missing = sorted(token for token in tokens if not exists(token, page) and token.split("/")[0] != "runs")
    assert not missing


def test_every_link_resolves(page, text):
    broken = []
    for target in reading.links(text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", file):
            continue
        path = page.parent / file if file else page
        made = path.resolve().parent == ROOT / "docs" / "systems" and path.stem in auricle.list_systems()
        wrong_file = not path.exists() and not made
        known = reading.anchors(path.read_text(encoding="utf-8")) if anchor and path.suffix == ".md" else {anchor}
        if wrong_file or anchor not in known:
            broken.append(target)
    assert not broken


def test_every_python_block_compiles_and_imports(page, text):
    for language, content in reading.blocks(text):
        if language not in ("python", "py"):
            continue
        tree = ast.parse(content, str(page))
        names = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for one in node.names:
                    module = importlib.import_module(one.name)
                    names[one.asname or one.name] = module
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for one in node.names:
                    names[one.asname or one.name] = getattr(module, one.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
                assert hasattr(names[node.value.id], node.attr), f"{node.value.id} has no {node.attr}"


def resolves(dotted):
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_every_dotted_name_resolves(text):
    names = {name.split("(")[0] for name in reading.inline(text) if re.match(r"auricle(\.\w+)+(\(|$)", name)}
    assert not sorted(name for name in names if not resolves(name))


def test_the_tree_in_the_readme_names_rooms_that_exist():
    content = next(
        body for _, body in reading.blocks(PAGES["README.md"].read_text(encoding="utf-8")) if TREE.search(body)
    )
    inside = re.findall(r"^  (\S+)/ ", TREE.search(content)[1], flags=re.MULTILINE)
    outside = re.findall(r"^(\S+)/ ", content, flags=re.MULTILINE)
    assert len(inside) >= 9
    assert not [room for room in inside if not (ROOT / "auricle" / room).is_dir()]
    assert not [folder for folder in outside if not (ROOT / folder).is_dir()]


def test_citation_and_version_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == project["version"] == auricle.__version__
    assert re.search(r"^license: (\S+)$", citation, re.MULTILINE)[1] in project["license"].split(" AND ")


def test_the_changelog_has_unreleased_changes_or_this_version():
    titles = re.findall(r"^## (.+)$", PAGES["CHANGELOG.md"].read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] == "Unreleased" or titles[0].strip("[").startswith(auricle.__version__)


def test_every_working_system_is_in_changelog_and_papers():
    for row in PAPERS:
        if row.works:
            assert f"`{row.system}`" in PAGES["CHANGELOG.md"].read_text(encoding="utf-8")
            assert f"## {row.system}\n" in PAGES["docs/papers.md"].read_text(encoding="utf-8")


def test_no_generated_page_is_committed():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = listed.stdout.split()
    assert "docs/papers.md" in files
    wrong = [
        name
        for name in files
        if name.endswith((".html", ".js", ".css", ".doctree"))
        or (re.fullmatch(r"docs/(systems|api)/.+\.md", name) and not name.endswith("index.md"))
    ]
    assert not wrong


def test_quickstart_has_a_first_command_of_every_system():
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    missing = [row.system for row in PAPERS if row.works and f"auricle run {row.system}" not in text]
    assert not missing, "give each system its first command"


def test_the_table_of_the_readme_is_the_table_of_names():
    rows = re.findall(
        r"^\| \[?`(\w+)`\]?.*\| (\*\*yes\*\*|planned) \|$", PAGES["README.md"].read_text("utf-8"), re.MULTILINE
    )
    assert rows == [(row.system, "**yes**" if row.works else "planned") for row in PAPERS]
