"""Standard output that must stay clean."""

from __future__ import annotations

import os

from specsim.support.standard_streams import output_to_errors


def test_output_to_errors__takes_what_is_printed_and_what_is_written_below_python(capfd):
    with output_to_errors():
        print("printed")
        os.write(1, b"written\n")
    os.write(1, b"after\n")
    out, err = capfd.readouterr()
    assert out == "after\n"
    assert sorted(err.split()) == ["printed", "written"]


def test_output_to_errors__leaves_no_file_open(capfd):
    before = os.dup(1)
    os.close(before)
    with output_to_errors():
        pass
    after = os.dup(1)
    os.close(after)
    assert after == before
