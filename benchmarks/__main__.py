"""``python -m benchmarks``: every benchmark of this folder, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the scripts in order and return 1 if one of them failed."""
    scripts = sorted(Path(__file__).parent.glob("bench_*.py"))
    codes = [subprocess.run([sys.executable, str(script)]).returncode for script in scripts]
    return int(any(codes))


raise SystemExit(main())
