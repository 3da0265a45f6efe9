import numpy as np
import pytest

from specsim.engines.compiled import philox as generator
from specsim.engines.lockstep.kernels.chain_steps import fill_words

# Known answers of the Random123 distribution (kat_vectors, philox4x32-10).
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.fixture
def word_pairs(compiled):
    return compiled(generator.word_pairs)


def words(*values):
    return [np.uint64(value) for value in values]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox__known_answers(compiled, counter, key, expected):
    philox = compiled(generator.philox)
    assert [int(word) for word in philox(*words(*counter), *words(*key))] == expected


def test_word_pairs__splits_seed_and_run(word_pairs):
    seed, run, position, slot = 0x299F31D0A4093822, 0x0370734413198A2E, 0x243F6A88, 0x85A308D3
    head, tail = word_pairs(*words(seed, run, position, slot))
    assert (int(head), int(tail)) == (0xD16CFE0994FDCCEB, 0x5001E42024126EA1)


def halves(pair):
    return [half for word in map(int, pair) for half in (word >> 32, word & 0xFFFFFFFF)]


def test_fill__equals_single_draws_across_the_32_bit_boundary_of_runs(compiled, word_pairs):
    first, seed = 2**32 - 5, 2**63 + 12345
    for listed in (range(16), [12, 3, 0, 5, 4]):
        got = np.zeros((4, 20), np.uint32)
        size = len(listed)
        compiled(fill_words)(got, np.array(listed, np.uint32), size, *words(seed, first, 7, 3))
        expected = [halves(word_pairs(*words(seed, first + i, 7, 3))) for i in listed]
        assert got[:, :size].T.tolist() == expected
        assert not got[:, size:].any()


def test_word_pairs__differ_in_seed_run_position_and_slot(word_pairs):
    base = (5, 6, 7, 8)
    seen = {tuple(int(w) for w in word_pairs(*words(*base)))}
    for index in range(4):
        for step in (1, 2**20):
            changed = list(base)
            changed[index] += step
            seen.add(tuple(int(w) for w in word_pairs(*words(*changed))))
    assert len(seen) == 9
