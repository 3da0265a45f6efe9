"""Where examples in docstrings are run: those of real language models only with torch and transformers."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["specsim/models"]
