"""Typed parameters: what is declared once holds everywhere, and nothing else is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erfbook import parameters, profiles
from erfbook.profiles import ParameterError, Parameters, param


class Sample(Parameters):
    """One of each kind."""

    notebook = "sample"
    n_runs: int = param("runs", unit="runs", low=1, high=9, smoke=1, laptop=2, paper=9)
    rate: float = param("rate", low=0.0, high=1.0, smoke=0.5, laptop=0.5, paper=0.5)
    depths: tuple[int, ...] = param("depths", low=1, smoke=(1,), laptop=(1, 2), paper=(4, 5))
    kind: str = param("kind", choices=("a", "b"), smoke="a", laptop="a", paper="b")
    deep: bool = param("deep", smoke=False, laptop=False, paper=True)


def test_each_profile_gives_its_own_declared_values():
    for profile in profiles.PROFILES:
        declared = {n: f.metadata["values"][profile] for n, f in Sample.fields().items()}
        assert Sample.resolve(profile).as_dict() == declared


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"n_run": 3}, "sample has no parameter 'n_run'; did you mean 'n_runs'?"),
        ({"n_runs": 10}, "n_runs must be 1 to 9 runs, not 10"),
        ({"n_runs": 2.0}, "n_runs must be a whole number, not 2.0"),
        ({"n_runs": True}, "n_runs must be a whole number, not True"),
        ({"n_runs": "x"}, "n_runs must be a whole number, not 'x'"),
        ({"rate": float("nan")}, "rate must be a number, not nan"),
        ({"rate": -0.1}, "rate must be 0.0 to 1.0, not -0.1"),
        ({"depths": (1, 0)}, "depths must be at least 1, not 0"),
        ({"depths": ()}, r"depths must be a list of int, not \(\)"),
        ({"depths": 3}, "depths must be a list of int, not 3"),
        ({"kind": "c"}, "kind must be one of a, b, not 'c'"),
        ({"deep": 1}, "deep must be true or false, not 1"),
    ],
)
def test_a_wrong_name_type_or_range_is_refused_in_one_line(overrides, message):
    with pytest.raises(ParameterError, match=message) as caught:
        Sample.resolve("laptop", overrides)
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ParameterError, match=r"not 'papr'; did you mean 'paper'\?"):
        Sample.resolve("papr")


def test_an_unknown_notebook_names_the_nearest():
    with pytest.raises(ParameterError, match="did you mean 'erf_verification'"):
        parameters.of("erf_verifikation")


def test_a_declaration_that_contradicts_itself_fails_when_it_is_made():
    with pytest.raises(ParameterError, match="n must be at least 5, not 1"):
        type(
            "Bad",
            (Parameters,),
            {
                "__annotations__": {"n": "int"},
                "__module__": __name__,
                "n": param("n", low=5, smoke=1, laptop=5, paper=5),
            },
        )


@given(st.integers(), st.lists(st.integers(), min_size=1))
def test_what_is_written_on_a_command_line_reads_back_as_itself(number, numbers):
    assert profiles.parse(str(number), int) == number
    assert profiles.parse(",".join(map(str, numbers)), tuple[int, ...]) == tuple(numbers)


@pytest.mark.parametrize("notebook", parameters.NOTEBOOKS)
def test_every_notebook_declares_help_limits_and_one_class(notebook):
    declared = parameters.of(notebook)
    assert declared.__doc__
    assert set(declared.limits) == set(profiles.PROFILES)
    assert all(len(text) > 20 for text in declared.limits.values())
    assert all(f.metadata["help"] for f in declared.fields().values())


@pytest.mark.parametrize(
    ("notebook", "overrides", "message"),
    [
        ("erf_training", {"epochs": 0.01}, "epochs must be 1 to 1000 epochs, not 0.01"),
        ("erf_verification", {"growth_depths": (5,)}, r"growth_depths must name two .*; not 5$"),
        ("erf_verification", {"growth_depths": (5, 5)}, r"growth_depths must .*; not 5,5$"),
        ("erf_distance", {"distances": (3,)}, r"distances must be 0, the control .*; not 3$"),
        ("erf_distance", {"distances": (0,)}, r"distances must be 0, the control .*; not 0$"),
        ("erf_distance", {"distances": (0, 3)}, r"distances must .*such as 0,3,6; not 0,3$"),
        ("erf_distance", {"distances": (0, 3, 3)}, r"distances must .*; not 0,3,3$"),
        ("erf_distance", {"distances": (0, 3, 0, 4)}, r"distances must .*; not 0,3,0,4$"),
    ],
)
def test_what_leaves_nothing_to_fit_is_refused_before_anything_runs(notebook, overrides, message):
    with pytest.raises(ParameterError, match=message) as caught:
        parameters.of(notebook).resolve("smoke", overrides)
    assert "\n" not in str(caught.value)


def test_the_least_that_can_be_fitted_is_accepted():
    parameters.of("erf_verification").resolve("smoke", {"growth_depths": (5, 6), "depths": (5,)})
    parameters.of("erf_distance").resolve("smoke", {"distances": (0, 3, 6)})
