"""Schedules: the learning rate as a function of the step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.errors import ArgumentError
from minibp.schedules import Constant, Cosine, Exponential, ReduceOnPlateau, Schedule, Step, Warmup

RATES = st.floats(0, 1e3)
STEPS = st.integers(1, 1000)


def test_constant_never_changes():
    assert [Constant(0.1)(step) for step in (0, 1, 10**9)] == [0.1] * 3


def test_step_multiplies_by_the_factor_every_so_many_steps():
    schedule = Step(8.0, every=3, factor=0.5)
    assert [schedule(step) for step in range(8)] == [8, 8, 8, 4, 4, 4, 2, 2]


def test_exponential_falls_by_the_factor_in_so_many_steps():
    schedule = Exponential(8.0, steps=2, factor=0.25)
    assert [schedule(step) for step in range(5)] == pytest.approx([8, 4, 2, 1, 0.5])


def test_cosine_falls_from_lr_to_the_end_and_stays_there():
    schedule = Cosine(3.0, steps=4, end=1.0)
    half = math.sqrt(0.5)
    assert [schedule(step) for step in range(6)] == pytest.approx([3, 2 + half, 2, 2 - half, 1, 1])


@given(lr=RATES, end=RATES, steps=STEPS)
def test_cosine_is_monotonic(lr, end, steps):
    rates = [Cosine(lr, steps, end)(step) for step in range(steps + 2)]
    assert rates == sorted(rates, reverse=lr >= end)


def test_warmup_rises_in_equal_steps_and_then_the_other_schedule_starts():
    schedule = Warmup(Step(4.0, every=1, factor=0.5), steps=4)
    assert [schedule(step) for step in range(7)] == [1, 2, 3, 4, 4, 2, 1]


@given(lr=RATES, steps=STEPS)
def test_warmup_to_a_number_stays_there(lr, steps):
    schedule = Warmup(lr, steps)
    assert [schedule(0), schedule(steps - 1)] == pytest.approx([lr / steps, lr])
    assert schedule(steps) == schedule(10 * steps) == lr


schedules = st.one_of(
    st.builds(Constant, RATES),
    st.builds(Step, RATES, STEPS, st.floats(0, 1)),
    st.builds(Exponential, RATES, STEPS, st.floats(0, 1)),
    st.builds(Cosine, RATES, STEPS, RATES),
    st.builds(ReduceOnPlateau, RATES),
)


@given(schedule=schedules | st.builds(Warmup, schedules, STEPS), step=st.integers(0, 10**7))
def test_every_rate_is_finite_and_not_negative(schedule, step):
    assert isinstance(schedule, Schedule)
    assert 0 <= schedule(step) < math.inf


# --- ReduceOnPlateau -----------------------------------------------------------------------------------------------


def rates(schedule, losses):
    seen = []
    for loss in losses:
        schedule.update(loss)
        seen.append(schedule(0))
    return seen


def test_plateau_cuts_the_rate_after_more_than_patience_epochs_without_improvement():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=2)
    assert rates(schedule, [5, 4, 4, 4, 4, 4, 4, 4]) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_plateau_restarts_its_count_after_an_improvement():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=1)
    assert rates(schedule, [5, 6, 4, 6, 3, 6]) == [1] * 6


def test_plateau_without_patience_cuts_at_once():
    assert rates(ReduceOnPlateau(1.0, factor=0.5, patience=0), [5, 5, 4, 4]) == [1, 0.5, 0.5, 0.25]


def test_plateau_does_not_count_nan_as_an_improvement():
    assert rates(ReduceOnPlateau(1.0, factor=0.5, patience=0), [math.nan, 5, math.nan]) == [0.5, 0.5, 0.25]


@pytest.mark.parametrize(("lr", "expected"), [(1.0, [1, 0.5, 0.3, 0.3]), (0.1, [0.1] * 4)])
def test_plateau_does_not_cut_below_the_least(lr, expected):
    assert rates(ReduceOnPlateau(lr, factor=0.5, patience=0, least=0.3), [5, 5, 5, 5]) == expected


def test_plateau_takes_no_smaller_gain_than_the_threshold_for_an_improvement():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=0, threshold=0.1)
    assert rates(schedule, [10, 9.1, 8.9, 8.1, 8.05]) == [1, 0.5, 0.5, 0.25, 0.125]
    assert schedule.best == 8.9
    below_zero = ReduceOnPlateau(1.0, factor=0.5, patience=0, threshold=0.1)
    assert rates(below_zero, [-10, -10.9, -11.1]) == [1, 0.5, 0.5]


def test_plateau_does_not_count_the_epochs_of_its_cooldown():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=1, cooldown=2)
    assert rates(schedule, [5, 5, 5, 5, 5, 5, 5]) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_the_cooldown_goes_on_from_a_state():
    cut, expected = ReduceOnPlateau(1.0, patience=0, cooldown=3), [0.1, 0.1, 0.1, 0.01]
    resumed = ReduceOnPlateau(1.0, patience=0, cooldown=3)
    rates(cut, [5, 5])
    resumed.load_state_dict(cut.state_dict())
    assert rates(cut, [5] * 4) == rates(resumed, [5] * 4) == pytest.approx(expected)


def test_plateau_forgets_the_losses_of_the_training_before():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=0, cooldown=3)
    rates(schedule, [1, 1])
    schedule.reset()
    assert rates(schedule, [5, 4, 4]) == [0.5, 0.5, 0.25]


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Constant(-1), "lr must be a finite number of at least 0, received -1"),
    (lambda: Step(math.nan, 1), "lr must be a finite number"),
    (lambda: Step(0.1, every=0), "every must be an integer of at least 1, received 0"),
    (lambda: Step(0.1, every=1, factor=-1), "factor must be a finite number"),
    (lambda: Exponential(math.inf, 1), "lr must be a finite number"),
    (lambda: Exponential(0.1, steps=1.5), "steps must be an integer"),
    (lambda: Exponential(0.1, 1, factor=math.inf), "factor must be a finite number"),
    (lambda: Cosine("0.1", 1), "lr must be a finite number"),
    (lambda: Cosine(0.1, steps=0), "steps must be an integer"),
    (lambda: Cosine(0.1, 1, end=-1), "end must be a finite number"),
    (lambda: Warmup(-0.1, 1), "Warmup: then must be a finite number of at least 0, received -0.1"),
    (lambda: Warmup(Cosine, 1), r"then must be a number or a Schedule, received .*Cosine'> \(pass an instance"),
    (lambda: Warmup(0.1, steps=0), "steps must be an integer"),
    (lambda: ReduceOnPlateau(-0.1), "lr must be a finite number"),
    (lambda: ReduceOnPlateau(0.1, factor=1), "factor must lie between 0 and 1, received 1"),
    (lambda: ReduceOnPlateau(0.1, factor="0.5"), "factor must be a finite number"),
    (lambda: ReduceOnPlateau(0.1, patience=-1), "patience must be an integer of at least 0"),
    (lambda: ReduceOnPlateau(0.1, patience=None), "patience must be an integer of at least 0, received None"),
    (lambda: ReduceOnPlateau(0.1, patience=""), "patience must be an integer"),
    (lambda: ReduceOnPlateau(0.1, patience=[]), "patience must be an integer"),
    (lambda: ReduceOnPlateau(0.1).update(None), r"ReduceOnPlateau received None, expected a number"),
    (lambda: ReduceOnPlateau(0.1, least=-1), "least must be a finite number"),
    (lambda: ReduceOnPlateau(0.1, threshold=1), r"threshold must lie in \[0, 1\), received 1"),
    (lambda: ReduceOnPlateau(0.1, cooldown=-1), "cooldown must be an integer of at least 0"),
])  # fmt: skip
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_repr_is_the_code_that_makes_it():
    schedule = Warmup(Cosine(0.1, steps=100), steps=5)
    assert repr(schedule) == "Warmup(then=Cosine(lr=0.1, steps=100, end=0.0), steps=5)"
    defaults = "factor=0.1, patience=10, least=0.0, threshold=0.0, cooldown=0"
    assert repr(ReduceOnPlateau(0.1)) == f"ReduceOnPlateau(lr=0.1, {defaults})"
    assert repr(eval(repr(schedule))) == repr(schedule)
