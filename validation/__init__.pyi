from specsim.validation.assertions import (
    Assertion as Assertion,
    SimulationRequest as SimulationRequest,
)
from specsim.validation.claims_model import (
    Claim as Claim,
    Comparison as Comparison,
    ExactCheck as ExactCheck,
    RegressionCheck as RegressionCheck,
    StatisticalCheck as StatisticalCheck,
    Verdict as Verdict,
    counterexample as counterexample,
    decided as decided,
    equal as equal,
)
from specsim.validation.mutants import Mutant as Mutant
from specsim.validation.registry import (
    all_claims as all_claims,
    select_claims as select_claims,
)
from specsim.validation.running.runner import validate as validate
from specsim.validation.witnesses import (
    Witnesses as Witnesses,
    as_built as as_built,
)

__all__: list[str]
