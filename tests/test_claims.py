"""The ledger: verdicts follow from results and bounds, and a wrong row is refused by name."""

from __future__ import annotations

import itertools
import re

import pytest
import yaml

from erfbook import claims
from erfbook.book import paths, readme, results, tables
from erfbook.claims import Bound, ClaimsError, Result
from erfbook.errors import UserError

ROW = {
    "id": "luo.fig2.slope",
    "where": "figure 2",
    "statement": "grows",
    "paper": {"value": 0.56},
    "checks": [{"query": "nb:a", "bound": {"min": 0, "max": 1}, "why": "theory"}],
}


def load(tmp_path, *rows):
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump({"claims": list(rows)}))
    return claims.load(path)


def checks(n):
    return [{"query": f"nb:r{i}", "bound": {"max": 0}, "why": "w"} for i in range(n)]


@pytest.mark.parametrize("passes", list(itertools.product([True, False], repeat=3)))
def test_all_some_or_none_of_the_checks_make_the_verdict(tmp_path, passes):
    ledger = load(tmp_path, {**ROW, "checks": checks(3)})
    results = [Result("nb", f"r{i}", 0.0 if ok else 1.0, "smoke") for i, ok in enumerate(passes)]
    expected = {3: "reproduced", 0: "not reproduced"}.get(sum(passes), "partly")
    assert claims.judge(ledger, results)[0].word == expected


def test_a_reason_that_checks_share_is_said_once_and_every_bound_is(tmp_path):
    rows = [*checks(3), {"query": "nb:r3", "bound": {"min": -1, "max": 1e-6}, "why": "v"}]
    (verdict,) = claims.judge(load(tmp_path, {**ROW, "checks": rows}), [])
    shown = tables.verdict_table([verdict], kind="scoreboard")
    assert shown.count("≤ 0</b>") == 3 and shown.count("not run") == 4
    assert shown.count('<small class="why"><br>w</small>') == 1
    assert '<b>−1 to 10⁻⁶</b></small><small class="why">: v</small>' in shown


def test_a_long_id_may_break_behind_a_dot_and_stays_the_row_s_anchor(tmp_path):
    (claim,) = load(tmp_path, {**ROW, "id": "luo.eq5.orthogonality"})
    shown = tables.verdict_table(claims.judge([claim], []), kind="scoreboard")
    assert "luo.<wbr>eq5.<wbr>orthogonality</code>" in shown
    assert 'id="claim-luo.eq5.orthogonality"' in shown


def test_the_ledger_writes_mathematics_as_a_reader_knows_it():
    typed = re.compile(r"sqrt|\^|\d[eE][-+]?\d|\d x \d|\bk x k\b|[<>]=")
    for claim in claims.load(paths.find_project().ledger):
        words = [claim.statement, claim.where, claim.paper.get("text", ""), claim.takes]
        words += [claim.untested, *(check.why for check in claim.checks)]
        assert not [text for text in words if typed.search(str(text))], claim.id


def test_a_missing_result_or_a_smaller_profile_leaves_a_claim_untested(tmp_path):
    (claim,) = load(tmp_path, {**ROW, "needs": "laptop"})
    assert claims.judge([claim], [])[0].word == "not tested"
    for profile, word in [
        ("smoke", "not tested"),
        ("laptop", "reproduced"),
        ("paper", "reproduced"),
    ]:
        assert claims.judge([claim], [Result("nb", "a", 0.5, profile)])[0].word == word


def test_a_claim_that_takes_more_than_any_run_has_says_what(tmp_path):
    (claim,) = load(tmp_path, {**ROW, "takes": "hours on a GPU"})
    (verdict,) = claims.judge([claim], [])
    assert (verdict.word, verdict.reason) == (
        "not tested",
        "no run here decides it; it takes hours on a GPU",
    )
    assert claims.judge([claim], [Result("nb", "a", 0.5, "smoke")])[0].word == "reproduced"


@pytest.mark.parametrize(
    ("is_", "text"), [(True, "yes"), (False, "no"), (1, "1"), (0, "0"), (0.25, "0.25")]
)
def test_a_bound_that_is_a_number_is_not_written_as_yes_or_no(is_, text):
    assert str(Bound(is_=is_)) == text


def test_another_notebook_s_result_of_the_same_name_does_not_count(tmp_path):
    (verdict,) = claims.judge(load(tmp_path, ROW), [Result("other", "a", 0.5, "paper")])
    assert verdict.word == "not tested"


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (Bound(min=0, max=1), [0, 1, 0.5], [-0.01, 1.01, float("nan"), "text"]),
        (Bound(max=1), [-9.0, 1], [1.1, float("nan"), float("inf")]),
        (Bound(min=1), [1, float("inf")], [0.9, float("nan")]),
        (Bound(is_=True), [True], [False, 0, "yes"]),
        (Bound(is_=81), [81, 81.0], [80]),
    ],
)
def test_a_bound_holds_inside_and_never_for_nan(bound, inside, outside):
    assert all(bound.holds(value) for value in inside)
    assert not any(bound.holds(value) for value in outside)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "reproduced"}, "unknown field 'verdict'"),
        ({"where": ""}, "the field 'where' is missing"),
        ({"id": "nobody.x"}, "must start with one of luo"),
        ({"needs": "huge"}, "needs must be one of smoke"),
        ({"paper": 0.56}, "paper must be a mapping"),
        ({"checks": []}, "either checks or untested"),
        ({"untested": "later"}, "either checks or untested"),
        ({"checks": [{"query": "a", "bound": {"max": 1}, "why": "w"}]}, "notebook:result, not 'a'"),
        ({"checks": [{"query": "a:b", "bound": {"max": 1}}]}, "exactly query, bound and why"),
        ({"checks": [{"query": "a:b", "bound": {"about": 1}, "why": "w"}]}, "min, max or is"),
        ({"checks": [{"query": "a:b", "bound": {"max": "1e-9"}, "why": "w"}]}, "must be a number"),
    ],
)
def test_a_wrong_row_is_refused_by_its_id(tmp_path, change, message):
    with pytest.raises(ClaimsError, match=message):
        load(tmp_path, {**ROW, **change})


def test_an_id_stands_once(tmp_path):
    with pytest.raises(ClaimsError, match=r"luo\.fig2\.slope: the id stands twice"):
        load(tmp_path, ROW, ROW)


def test_a_broken_or_absent_ledger_is_one_line(tmp_path):
    path = tmp_path / "claims.yml"
    with pytest.raises(ClaimsError, match="cannot read the ledger"):
        claims.load(path)
    path.write_text("claims: [")
    with pytest.raises(ClaimsError, match="is not a YAML list under 'claims'"):
        claims.load(path)


def test_every_check_of_the_ledger_finds_its_result(book):
    project = paths.find_project()
    found = {result.query for result in results.read_all(project.executed / "smoke")}
    ledger = claims.load(project.ledger)
    every = [claim for claim in ledger if not claim.takes]  # the others wait for their records
    asked = {check.query for claim in every for check in claim.checks}
    asked |= {query for claim in every for query in claim.ours}
    assert len(asked) > 100
    known = set(project.notebooks)
    assert {query.split(":")[0] for claim in ledger for query in claim.ours} <= known
    assert {name for claim in ledger for name in claim.notebooks} <= known
    assert asked <= found, f"no notebook reports {sorted(asked - found)}"


def test_results_of_ours_stand_beside_the_paper_s_number_and_decide_nothing(tmp_path):
    (claim,) = load(tmp_path, {**ROW, "ours": ["nb:b", "nb:absent"]})
    own = Result("nb", "b", 9.0, "smoke")
    (verdict,) = claims.judge([claim], [Result("nb", "a", 0.5, "smoke"), own])
    assert verdict.ours == (own,)
    assert verdict.word == "reproduced"


def test_the_readme_shows_every_headline_of_the_ledger():
    project = paths.find_project()
    text = (project.root / "README.md").read_text()
    ledger = claims.load(project.ledger)
    assert f"{len(ledger)} claims" in text, "the README's table is old: make readme"
    for claim in ledger:
        assert not claim.headline or f"| {claim.statement} |" in text, claim.id


def test_the_readme_s_table_is_replaced_between_its_marks_and_nowhere_else(tmp_path):
    (claim,) = load(tmp_path, {**ROW, "headline": True})
    results = [Result("nb", "a", 0.5, "laptop", 0.4, 0.6, 20), Result("nb", "b", "toys", "laptop")]
    verdicts = claims.judge([claim], results)
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme._START}\nold\n{readme._END}\nafter\n")
    readme.update(path, verdicts, "laptop")
    text = path.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| grows | 0.56 | 0.5 [0.4, 0.6], n = 20 (a) | reproduced |" in text
    path.write_text("no marks")
    with pytest.raises(UserError, match="must hold the lines"):
        readme.update(path, verdicts, "laptop")
    assert path.read_text() == "no marks"
    (claim,) = load(tmp_path, {**ROW, "headline": True, "ours": ["nb:a", "nb:b"]})
    told = readme.table(claims.judge([claim], results), "laptop")
    assert "| 0.5 [0.4, 0.6], n = 20 (a); toys | reproduced |" in told
    with pytest.raises(UserError, match=r"cannot read .*absent"):
        readme.update(tmp_path / "absent.md", verdicts, "laptop")
