"""``benchmarks/`` is not part of the package: put a checkout on the path, or skip these tests without one."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / "benchmarks").is_dir():
    sys.path.insert(0, str(ROOT))
else:
    collect_ignore_glob = ["*.py"]
