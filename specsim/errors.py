"""The errors that specsim raises for input it cannot use."""


class InputError(ValueError):
    """Input that specsim cannot use.

    The message is one line that names the field, the value and the remedy; the command line prints it and
    exits with code 2.

    Examples
    --------
    >>> from specsim import InputError, paper_pair
    >>> try:
    ...     paper_pair(0)
    ... except InputError as error:
    ...     print(error)
    horizon is 0; give a whole number of at least 1
    """


class TooLargeError(InputError):
    """A request whose exact answer or table would not fit in memory or in reasonable time."""


class UnsupportedError(InputError):
    """A descriptor that a function or an engine does not know."""


class StoreWarning(UserWarning):
    """A stored file could not be used; what it held is computed again."""
