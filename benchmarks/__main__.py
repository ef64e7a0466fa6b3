"""Run every benchmark of this folder, each in a process of its own: python benchmarks [--quick] [--json]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APART = ("__main__.py", "contract.py")

if __name__ == "__main__":
    failed = []
    for script in sorted(Path(__file__).parent.glob("*.py")):
        if script.name in APART:
            continue
        print(script.name, file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, str(script), *sys.argv[1:]]).returncode:
            failed.append(script.name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
