from specsim import (
    models as models,
    paper_figures as paper_figures,
    plot as plot,
    testing as testing,
    theory as theory,
    validation as validation,
)
from specsim.algorithms import (
    Autoregressive as Autoregressive,
    Batch as Batch,
    BatchAsPrinted as BatchAsPrinted,
    BlockVerification as BlockVerification,
    OverAcceptance as OverAcceptance,
    RejectionBased as RejectionBased,
    Rule as Rule,
    Speculative as Speculative,
    Structure as Structure,
    best_shape as best_shape,
    catalogue as catalogue,
    chain as chain,
    get_rule as get_rule,
    levels as levels,
    paths as paths,
    tree as tree,
)
from specsim.clocks import (
    Clock as Clock,
    CostModel as CostModel,
    DrafterCosts as DrafterCosts,
    MeasuredClock as MeasuredClock,
    read_clock as read_clock,
)
from specsim.comparison.compare import compare as compare
from specsim.comparison.summaries import (
    SimulationSummary as SimulationSummary,
    SweepSummary as SweepSummary,
    summary as summary,
)
from specsim.engines import merge as merge
from specsim.errors import InputError as InputError
from specsim.grammar import (
    parse_algorithm as parse_algorithm,
    parse_clock as parse_clock,
    parse_pair as parse_pair,
)
from specsim.own_rules import rule as rule
from specsim.pairs import ModelPair as ModelPair
from specsim.pairs.derived import (
    blended_draft as blended_draft,
    cache_favouring_draft as cache_favouring_draft,
    restricted_vocabulary as restricted_vocabulary,
)
from specsim.pairs.families import (
    paper_pair as paper_pair,
    random_pair as random_pair,
    random_prefix_pair as random_prefix_pair,
)
from specsim.pairs.model_chains import model_chain as model_chain
from specsim.planner.plan import (
    Plan as Plan,
    plan as plan,
)
from specsim.records.acceptance_estimates import acceptance_estimates as acceptance_estimates
from specsim.records.acceptance_logs import read_acceptance_log as read_acceptance_log
from specsim.records.servers import (
    ServerLog as ServerLog,
    read_server_log as read_server_log,
)
from specsim.records.trace_estimates import theorem_1_of_trace as theorem_1_of_trace
from specsim.records.trace_files import read_trace as read_trace
from specsim.scale import (
    simulate as simulate,
    sweep as sweep,
)
from specsim.systems import time_systems as time_systems
from specsim.validation.rule_checks import check_rule as check_rule

__version__: str
__all__: list[str]
