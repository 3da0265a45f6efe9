import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs with Ctrl-C switched off, and every process started here would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _patient():
    """Let no command say that it takes long: whether it does depends on the machine."""
    import specsim.cli.output

    specsim.cli.output._PATIENCE = 3600.0
