from specsim.theory import symbolic as symbolic
from specsim.theory.arithmetic.pair_tables import Pair as Pair
from specsim.theory.arithmetic.rational_pair import RationalPair as RationalPair
from specsim.theory.certificates.checker import check_certificate as check_certificate
from specsim.theory.certificates.formats import (
    CertificateError as CertificateError,
    FrontCertificate as FrontCertificate,
    RejectionCertificate as RejectionCertificate,
    RoundCertificate as RoundCertificate,
    certificate_from_json as certificate_from_json,
)
from specsim.theory.enumeration import (
    Outcome as Outcome,
    Outcomes as Outcomes,
    enumerate_outcomes as enumerate_outcomes,
    round_bias as round_bias,
    round_errors as round_errors,
    stop_law as stop_law,
)
from specsim.theory.laws.draft_policies import (
    DraftPolicies as DraftPolicies,
    draft_policies as draft_policies,
    rule_time as rule_time,
)
from specsim.theory.laws.functions import (
    accepted_length_counts as accepted_length_counts,
    accepted_length_law as accepted_length_law,
    block_efficiency as block_efficiency,
    expected_rejections as expected_rejections,
    expected_target_calls as expected_target_calls,
    first_accepted_length_law as first_accepted_length_law,
    output_law as output_law,
    output_marginals as output_marginals,
    rejection_law as rejection_law,
    rejection_variance as rejection_variance,
    rejections_by_step as rejections_by_step,
    round_counts as round_counts,
    sequence_distance as sequence_distance,
    stationary_accepted_length_law as stationary_accepted_length_law,
    stationary_block_efficiency as stationary_block_efficiency,
    target_call_law as target_call_law,
    token_distances as token_distances,
    transition_marginals as transition_marginals,
)
from specsim.theory.laws.laws import Laws as Laws
from specsim.theory.laws.pearl import (
    constant_acceptance_pearl_tokens as constant_acceptance_pearl_tokens,
    expected_pearl_time as expected_pearl_time,
    pearl_rounds as pearl_rounds,
    pearl_time_law as pearl_time_law,
    stationary_pearl_speed_up as stationary_pearl_speed_up,
)
from specsim.theory.laws.polybasic import (
    PolybasicRates as PolybasicRates,
    expected_polybasic_time as expected_polybasic_time,
    polybasic_rounds as polybasic_rounds,
    stationary_polybasic_rates as stationary_polybasic_rates,
)
from specsim.theory.laws.ssd import (
    SsdRounds as SsdRounds,
    expected_ssd_time as expected_ssd_time,
    ssd_round_counts as ssd_round_counts,
    ssd_rounds as ssd_rounds,
    ssd_time_law as ssd_time_law,
    stationary_ssd_speed_up as stationary_ssd_speed_up,
)
from specsim.theory.laws.target import (
    target_law as target_law,
    target_marginals as target_marginals,
)
from specsim.theory.laws.times import (
    TimeLaw as TimeLaw,
    constant_acceptance_tokens as constant_acceptance_tokens,
    expected_time as expected_time,
    mean_speed_up as mean_speed_up,
    speed_up as speed_up,
    static_batch_time as static_batch_time,
    stationary_speed_up as stationary_speed_up,
    time_law as time_law,
)
from specsim.theory.pearl_outcomes import (
    PearlOutcome as PearlOutcome,
    enumerate_pearl as enumerate_pearl,
)
from specsim.theory.polybasic_outcomes import (
    PolybasicOutcome as PolybasicOutcome,
    enumerate_polybasic as enumerate_polybasic,
)
from specsim.theory.ssd_outcomes import (
    SsdOutcome as SsdOutcome,
    enumerate_ssd as enumerate_ssd,
)
from specsim.theory.statements.batch_improvement import (
    batch_improvement_bernoulli as batch_improvement_bernoulli,
    batch_improvement_of_rows as batch_improvement_of_rows,
    batch_improvement_uniform as batch_improvement_uniform,
)
from specsim.theory.statements.calls import (
    acceleration as acceleration,
    acceleration_per_call as acceleration_per_call,
    calls_from_rejections as calls_from_rejections,
    constant_rate_calls as constant_rate_calls,
    constant_rate_tokens_per_call as constant_rate_tokens_per_call,
)
from specsim.theory.statements.deterministic_trees import (
    best_tree as best_tree,
    branching_bound as branching_bound,
)
from specsim.theory.statements.drafter_choice import (
    break_even_draft as break_even_draft,
    draft_log_likelihood as draft_log_likelihood,
    implied_round as implied_round,
)
from specsim.theory.statements.fan_outs import (
    best_fan_out as best_fan_out,
    fan_out_hits as fan_out_hits,
    geometric_fan_out as geometric_fan_out,
    whole_fan_out as whole_fan_out,
)
from specsim.theory.statements.joint_bound import joint_bound as joint_bound
from specsim.theory.statements.lower_bounds import (
    LowerBound as LowerBound,
    lower_bound as lower_bound,
)
from specsim.theory.statements.proposition_1 import (
    batch_limit_rejection_masses as batch_limit_rejection_masses,
    batch_limit_rejections as batch_limit_rejections,
    limit_is_positive as limit_is_positive,
    support_condition as support_condition,
)
from specsim.theory.statements.rejection_radius import (
    RejectionRadius as RejectionRadius,
    rejection_radius as rejection_radius,
)
from specsim.theory.statements.remark_6 import (
    SequenceFront as SequenceFront,
    sequence_front as sequence_front,
)
from specsim.theory.statements.residual_sets import (
    OptimalResiduals as OptimalResiduals,
    optimal_residuals as optimal_residuals,
)
from specsim.theory.statements.round_optimum import (
    RoundOptimum as RoundOptimum,
    round_optimum as round_optimum,
)
from specsim.theory.statements.sequence_identity import (
    OverAcceptanceIdentity as OverAcceptanceIdentity,
    over_acceptance_identity as over_acceptance_identity,
)
from specsim.theory.statements.speculative_vocabulary import (
    restricted_acceptance as restricted_acceptance,
    restricted_written_law as restricted_written_law,
    vocabulary_times as vocabulary_times,
)
from specsim.theory.statements.theorem_1 import (
    theorem_1_rejections as theorem_1_rejections,
    theorem_1_rejections_by_step as theorem_1_rejections_by_step,
)
from specsim.theory.statements.theorem_2 import optimal_rejections as optimal_rejections
from specsim.theory.statements.theorem_3 import (
    batch_rejection_masses as batch_rejection_masses,
    batch_rejections as batch_rejections,
    batch_rejections_by_recursion as batch_rejections_by_recursion,
    shifted_batch_rejections as shifted_batch_rejections,
)
from specsim.theory.statements.theorem_4 import (
    OverAcceptanceLosses as OverAcceptanceLosses,
    front_excess as front_excess,
    loss as loss,
    over_acceptance as over_acceptance,
    over_acceptance_loss as over_acceptance_loss,
    over_acceptance_losses as over_acceptance_losses,
    rejection_probability as rejection_probability,
    total_variation as total_variation,
    written_law as written_law,
)
from specsim.theory.statements.theorem_5 import (
    ParetoFront as ParetoFront,
    pareto_front as pareto_front,
)
from specsim.theory.statements.transport_acceptance import (
    transport_acceptance as transport_acceptance,
)
from specsim.theory.statements.unbiased_members import (
    acceptance_from_epsilon as acceptance_from_epsilon,
    epsilon_from_acceptance as epsilon_from_acceptance,
    member_from_acceptance as member_from_acceptance,
    member_rejections as member_rejections,
    random_unbiased_member as random_unbiased_member,
)

__all__: list[str]
