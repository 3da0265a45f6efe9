"""Lets the tests of this folder import their common helper, which is no test."""

import importlib.util
import sys
from pathlib import Path

_NAME = "specsim_tests_samplers"

if _NAME not in sys.modules:
    _specification = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("samplers.py"))
    sys.modules[_NAME] = importlib.util.module_from_spec(_specification)
    _specification.loader.exec_module(sys.modules[_NAME])
