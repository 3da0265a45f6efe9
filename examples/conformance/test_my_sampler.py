"""Every check of specsim as a test of its own."""

from my_sampler import step

from specsim.testing import parametrize_with_checks


@parametrize_with_checks([step], rule="ratio", effort="quick")
def test_my_sampler(check):
    """The check passes."""
    check()
