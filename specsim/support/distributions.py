"""What is installed: our own distribution, and a foreign one that uses the name of our import package."""

import sys
from collections.abc import Iterator
from pathlib import Path

#: Our own distribution on the package index.
OWN = "specsim-decoding"
#: A distribution of this name has nothing to do with us, and installs an import package ``specsim``, too.
_FOREIGN = "specsim"


def foreign_distribution() -> str:
    """Return one line of warning where a foreign distribution shares our import name, else ``""``.

    Both write to the same folder, so that files of one may stand in for files of the other.
    """
    # Reading metadata costs as much as everything else at start-up; a look at the folders does not.
    if not any(_folders()):
        return ""
    from importlib import metadata

    try:
        found = metadata.distribution(_FOREIGN)
    except metadata.PackageNotFoundError:
        return ""
    if (found.metadata["Name"] or "").lower() != _FOREIGN:
        return ""
    where = Path(str(found.locate_file("")))
    return (
        f"the distribution 'specsim' {found.version} in {where} is another project that installs an import "
        f"package of this name; remove it with 'pip uninstall specsim' and install {OWN} again"
    )


def _folders() -> Iterator[Path]:
    for folder in dict.fromkeys(sys.path):
        if "-packages" in folder:
            yield from Path(folder).glob(f"{_FOREIGN}-[0-9]*.*-info")
