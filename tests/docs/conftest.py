import importlib.util
import sys
from pathlib import Path

for _name, _path in (
    ("docs_reading", Path(__file__).with_name("reading.py")),
    ("docs_pages", Path(__file__).parents[2] / "docs" / "pages.py"),
):
    _spec = importlib.util.spec_from_file_location(_name, _path)
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])
