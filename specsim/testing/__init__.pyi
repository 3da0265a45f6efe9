from specsim.testing.parametrizing import (
    BoundCheck as BoundCheck,
    checks_for as checks_for,
    parametrize_with_checks as parametrize_with_checks,
)
from specsim.validation.conformance.results import (
    CheckResult as CheckResult,
    CheckStatus as CheckStatus,
    ConformanceReport as ConformanceReport,
    Verdict as Verdict,
)
from specsim.validation.conformance.rules import (
    Rule as Rule,
    get_rule as get_rule,
    position_rule as position_rule,
)
from specsim.validation.conformance.running import (
    ConformanceError as ConformanceError,
    check_sampler as check_sampler,
)
from specsim.validation.conformance.subjects import Subject as Subject

__all__: list[str]
