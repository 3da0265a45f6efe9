"""``python -m benchmarks.real_samplers [NAME] [OPTIONS]``: ``specsim conform``, with these samplers."""

from __future__ import annotations

import sys

from benchmarks.real_samplers import SAMPLERS
from specsim.cli import main
from specsim.validation.conformance.adapters import ADAPTERS

ADAPTERS.update(SAMPLERS)
sys.exit(main(["conform", *sys.argv[1:]]))
