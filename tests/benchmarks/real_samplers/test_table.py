"""The table of real libraries: the page is made of the data, and every row can be repeated."""

import pytest

from benchmarks.real_samplers import SAMPLERS, table
from specsim.errors import InputError
from specsim.validation.conformance.adapters import ADAPTERS
from specsim.validation.conformance.checks import all_checks


def test_page__holds_the_table_of_the_data_file():
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.page(text) == text
    assert table.page(text.replace("lossless, TV <= 0.034; not-finite fails", "another verdict")) == text


def test_rows__name_what_exists():
    found = table.rows()
    assert len({row["id"] for row in found}) == len(found)
    names = {check.name for check in all_checks()}
    scripts = table._ROOT / "examples" / "confirmations"
    for row in found:
        assert row["package"], row["id"]
        assert row["run"].startswith("20"), row["id"]
        if "script" in row:
            assert (scripts / f"{row['script']}.py").is_file(), row["id"]
        else:
            assert row["adapter"] in ADAPTERS | SAMPLERS, row["id"]
            assert set(row["checks"]) <= names, row["id"]
        assert table.command(row).endswith(f"python -m benchmarks.real_samplers.table {row['id']}")


def test_commands__list_and_refuse(capsys):
    assert table.main([]) == 0
    assert (
        "SPECSIM_LMDEPLOY_WHEEL=FOLDER python -m benchmarks.real_samplers.table lmdeploy"
        in capsys.readouterr().out
    )
    with pytest.raises(InputError, match="row 'lmdeplo' is unknown; did you mean lmdeploy"):
        table.main(["lmdeplo"])


def test_row_of_a_script__wants_its_wheel(monkeypatch):
    monkeypatch.delenv("SPECSIM_VLLM_WHEEL", raising=False)
    with pytest.raises(
        InputError, match="SPECSIM_VLLM_WHEEL is not set; name the folder of an unpacked vllm"
    ):
        table.main(["vllm-block-0.30.0"])


def test_row__is_repeated_by_its_adapter(monkeypatch, capsys):
    row = {
        "id": "it",
        "adapter": "it",
        "subjects": ["right"],
        "checks": ["contract", "joint-law"],
        "wheel": None,
    }
    monkeypatch.setattr(table, "rows", lambda: [row])
    monkeypatch.setitem(SAMPLERS, "it", (__name__, "a sampler"))
    assert table.main(["it"]) == 0
    assert "right: lossless" in capsys.readouterr().out
    row["subjects"] = ["missing"]
    with pytest.raises(InputError, match="row it: adapter it has no subject"):
        table.main(["it"])


def subjects():
    """Be an adapter."""
    from benchmarks.zoo import get_controls, get_mutants

    right, wrong = get_controls(["ratio"])[0].subject, get_mutants(["recovery-from-target"])[0].subject
    return right.replace(name="right"), wrong.replace(name="wrong")
