"""Makes the dummy a system of this process, as if it stood in the package's table."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent


def register() -> None:
    from auricle.core import names

    if all(row.system != "dummy" for row in names.PAPERS):
        names.PAPERS = (*names.PAPERS, names.Paper("dummy", "none", "0000.00000", "does it rise or fall?", works=True))
        assert "auricle.systems" not in sys.modules, "the table is read when auricle.systems is imported"
        import auricle.systems

        auricle.systems.__path__.append(str(HERE / "system"))


register()
