import signal
from collections import defaultdict

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs with Ctrl-C switched off, and every process started here would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: How many cases of a parametrised test run in `make test`, spread over all of them; the others are slow.
FAST_CASES = {
    "test_figures.py::test_comparison__holds_and_is_complete": 3,
    "test_figures.py::test_image__is_of_good_size": 4,
    "test_figures.py::test_plot__is_labelled_readable_free_of_collisions_and_leaves_the_data": 4,
    "test_figures.py::test_shifted_sums__are_the_lines_of_the_paper": 1,
    "test_figures.py::test_exact_means__are_those_of_the_corrected_algorithm": 1,
    "test_figures.py::test_running_means__have_band_truth_and_the_papers_line": 1,
    "test_bench.py::test_c__has_the_bits_of_the_alias_engine": 2,
    "test_literal_engine.py::test_tallies__do_not_depend_on_how_runs_are_cut": 3,
    "test_torch_engine.py::test_tallies__are_those_of_the_lockstep_engine": 8,
    "test_diagnosis.py::test_wrong_sampler__is_explained_and_shown_without_specsim": 4,
    "test_diagnosis.py::test_unknown_fault__is_not_taken_for_a_known_bug": 1,
    "test_tree_sizes.py::test_a_wrong_tree_is_evidence_and_the_cell_says_why": 1,
    "test_tree_laws.py::test_lossless_rules_give_the_law_of_the_target": 3,
    "test_text_combinations.py::test_what_is_wrong_together__is_found": 1,
    "test_text_combinations.py::test_right_decoders__write_tokens_of_uniform_place": 1,
    "test_combinations.py::test_right_samplers__have_tokens_of_positive_probability_at_uniform_places": 1,
    "test_independence.py::test_rows_with_laws_of_their_own__are_right": 1,
    "test_kill_matrix_of_claims.py::test_claim__is_rejected_exactly_by_one_of_its_mutants": 7,
    "test_kill_matrix_of_claims.py::test_claim__is_rejected_in_simulation_by_a_mutant": 2,
    "test_mutants.py::test_simulator_mutant_is_rejected": 5,
    "test_mutants.py::test_theory_mutant_is_rejected": 5,
    "test_conformance_redteam.py::test_wrong_sampler__is_caught_by_the_check_that_is_for_it": 1,
    "test_conformance_redteam.py::test_right_sampler__is_not_accused": 1,
    "test_kill_matrix_of_samplers.py::test_mutant__is_rejected_by_the_checks_that_are_for_it": 9,
    "test_scaled_simulation.py::test_result__depends_on_neither_chunks_nor_threads": 2,
    "test_cluster.py::test_result__equals_that_of_one_process": 1,
    "test_kill.py::test_kill_9__same_bits_and_no_chunk_twice": 1,
    "test_literal_rules.py::test_mutants_of_kernels__are_seen": 1,
    "test_literal_rules.py::test_rules__have_the_exact_law_of_outcomes": 7,
    "test_literal_rules.py::test_rounds__have_the_laws_of_theory": 7,
    "test_lockstep_words.py::test_replica__has_the_same_tallies": 2,
    "test_lockstep_words.py::test_one_word__has_the_joint_law_of_draft_test_and_replacement": 2,
    "test_lockstep_laws.py::test_outcomes__have_the_exact_law": 10,
    "test_programs.py::test_laws_in_other_numbers": 8,
    "test_laws_of_rules.py::test_laws_equal_enumeration_and_all_descriptions_agree": 14,
    "test_laws.py::test_laws_equal_enumeration_on_edge_cases": 12,
    "test_symbolic.py::test_two_state_rejections__closed_form_and_numbers": 2,
    "test_trace_pairs.py::test_read_trace__a_truncated_file": 4,
    "test_trace_pairs.py::test_read_trace__a_file_that_was_changed": 8,
    "test_pair_files.py::test_read_pair__a_truncated_file": 3,
    "test_pair_files.py::test_read_pair__a_file_that_was_changed": 5,
    "test_pair_files.py::test_round_trip__keeps_everything": 5,
    "test_peers.py::test_right_samplers_pass": 3,
    "test_plot.py::test_commands_draw": 2,
    "test_compiling.py::test_simulate__loads_nothing_that_it_does_not_need": 1,
    "test_models_trees.py::test_verify__decides_as_the_kernel_does_with_the_same_coins": 20,
    "test_models_traces.py::test_record__is_what_the_decoder_did": 4,
    "test_models_architectures.py::test_rows__of_every_rule__are_those_of_an_uncached_forward": 3,
    "test_models_waiting.py::test_round__asks_for_no_value_on_the_host_but_one_transfer": 4,
    "test_models_loading.py::test_damaged_checkpoint__is_one_line_and_code_2": 4,
    "test_zoo_chain.py::test_samplers_have_their_exact_law": 10,
    "test_zoo_chain.py::test_controls_write_the_targets_texts": 7,
    "test_zoo_chain.py::test_samples_of_mutants_reject_the_claimed_rule": 7,
    "test_zoo_decoders.py::test_decoders_write_texts_of_their_law": 4,
    "test_zoo_trees.py::test_samplers_have_their_exact_law": 7,
    "test_zoo_trees.py::test_samplers_keep_the_contract": 5,
    "test_zoo_trees.py::test_trees_do_not_see_each_other": 5,
    "test_rule_laws.py::test_wrong_and_lossy_rules_deviate_on_rows_that_depend_on_the_context": 20,
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    cases = defaultdict(list)
    for item in items:
        name = f"{item.path.name}::{getattr(item, 'originalname', '')}"
        if name in FAST_CASES and item.get_closest_marker("slow") is None:
            cases[name].append(item)
    for name, found in cases.items():
        count = FAST_CASES[name]
        fast = {round(i * (len(found) - 1) / max(count - 1, 1)) for i in range(count)}
        for i, item in enumerate(found):
            if i not in fast:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _patient():
    """Let no command say that it takes long: whether it does depends on the machine."""
    import specsim.cli.output

    specsim.cli.output._PATIENCE = 3600.0
