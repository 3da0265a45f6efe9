"""The rule ``recursive`` (2305.09781; 2401.06706; 2411.00841, Algorithm 4, corrected).

Each failure replaces the target row by the residual of `ratio`, which the next child is tested against.
"""

from specsim.models.coins import RoundCoins
from specsim.models.rules.ratio import passes, residual
from specsim.models.verification import Drafts, TargetRows, Verdict, walk


def verify(drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
    """Test the first tokens of all drafts in turn, then the tokens of the accepted draft."""
    return walk(drafts, target, coins, passes, residual)
