"""Where a model is run, from its profile: pure functions, and what is measured for real."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.serving.execution.choice import choose, threaded
from trimtab.serving.execution.pace import Pace
from trimtab.serving.routing.profile import SIZES, Profile, measure

times = st.floats(1e-6, 2.0)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """A fixed cost and a cost by row, with a little noise."""
    fixed, each = draw(st.floats(1e-6, 0.01)), draw(st.floats(1e-8, 0.1))
    noise = [draw(st.floats(1.0, 1.3)) for _ in SIZES]
    return Profile(rows=SIZES, seconds=tuple((fixed + each * n) * more for n, more in zip(SIZES, noise, strict=True)))


def profile(*seconds: float) -> Profile:
    return Profile(rows=SIZES[: len(seconds)], seconds=seconds)


@given(profiles(), st.integers(1, 5000))
def test_a_profile_goes_through_what_was_measured_and_never_down_without_end(one: Profile, rows: int) -> None:
    for size, took in zip(one.rows, one.seconds, strict=True):
        assert one.time(size) == pytest.approx(took)
    assert one.time(rows) > 0
    assert one.time(rows + 1000) >= min(one.seconds) - 1e-9


@given(profiles(), st.booleans(), st.integers(1, 64))
def test_a_choice_is_bounded_in_time(one: Profile, own_code: bool, cores: int) -> None:
    made = choose(one, own_code=own_code, cores=cores)
    assert made.reason
    if made.kind == "inline":
        assert not own_code
        assert one.time(made.largest) <= 0.002 or made.largest == 1
        assert one.seconds[0] <= 0.00025
    else:
        assert made.threads == cores
        assert one.time(made.largest) <= max(0.05, 1.5 * one.time(1))


def test_models_of_microseconds_stay_on_the_loop_and_others_leave_it() -> None:
    trees = profile(0.000012, 0.000030, 0.000150)
    assert choose(trees, own_code=False, cores=2).kind == "inline"
    assert choose(trees, own_code=True, cores=2).kind == "threads"
    net = profile(0.0009, 0.0072, 0.0580)
    made = choose(net, own_code=False, cores=2)
    assert (made.kind, made.threads) == ("threads", 2)
    assert net.time(made.largest) <= 0.015  # a batch gains nothing but hand-overs: small ones come back evenly
    assert "900 us" in made.reason
    heavy_rows = profile(0.0001, 0.0008, 0.0064)
    assert choose(heavy_rows, own_code=False, cores=2).kind == "threads"


def test_a_fixed_cost_is_shared_among_many_rows() -> None:
    frame = profile(0.002, 0.00201, 0.0021)  # as a function of whole columns costs
    assert threaded(frame, 2, "").largest >= 512
    slow = profile(3.0)
    assert threaded(slow, 2, "").largest == 1


def test_what_is_measured_is_what_it_takes() -> None:
    calls: list[int] = []

    def run(rows: int) -> None:
        calls.append(rows)
        time.sleep(0.002 + 0.0002 * rows)

    found = measure(run, whole=True)
    assert found.rows == SIZES
    for rows, took in zip(found.rows, found.seconds, strict=True):
        assert 0.002 + 0.0002 * rows <= took < 2 * (0.002 + 0.0002 * rows) + 0.005
    assert calls[:2] == [1, 1]  # the first run warms up and does not count
    assert calls.count(64) >= 3


def test_a_size_that_would_take_too_long_is_left_out() -> None:
    clock = [0.0]

    def run(rows: int) -> None:
        clock[0] += 0.03 * rows

    found = measure(run, whole=True, clock=lambda: clock[0], work=lambda: clock[0])
    assert found.rows == (1, 8)
    assert clock[0] < 2.0


@pytest.mark.parametrize(
    ("fixed", "each", "told"),
    [
        (0.0, 0.001, [1]),  # several at a time gain nothing
        (0.004, 0.0005, []),  # a fixed cost is shared
        (0.0, 0.00001, []),  # what a row costs is the call itself
    ],
)
def test_runs_are_cut_where_more_rows_at_a_time_gain_nothing(fixed: float, each: float, told: list[int]) -> None:
    clock, cuts = [0.0], []

    def run(rows: int) -> None:
        most = cuts[0] if cuts else rows
        clock[0] += fixed * -(-rows // most) + each * rows

    found = measure(run, whole=True, cut=cuts.append, clock=lambda: clock[0], work=lambda: clock[0])
    assert cuts == told
    assert found.rows == SIZES
    assert found.time(64) == pytest.approx(fixed + each * 64)


def test_a_machine_that_was_busy_for_a_moment_does_not_decide() -> None:
    clock, cuts, eights = [0.0], [], [0]

    def run(rows: int) -> None:
        eights[0] += rows == 8
        busy = 5.0 if rows == 8 and eights[0] <= 6 else 1.0
        clock[0] += (0.001 + 0.0002 * rows) * busy

    found = measure(run, whole=True, cut=cuts.append, clock=lambda: clock[0], work=lambda: clock[0])
    assert cuts == []
    assert found.time(8) == pytest.approx(0.0026)


def test_a_wait_for_others_does_not_decide() -> None:
    """While a model is loaded, the event loop and other threads have the interpreter's lock now and then."""
    wall, work, cuts = [0.0], [0.0], []

    def run(rows: int) -> None:
        work[0] += 0.001 * rows
        wall[0] += 0.001 * rows + 0.0005  # at each run it waits

    measure(run, whole=True, cut=cuts.append, clock=lambda: wall[0], work=lambda: work[0])
    assert cuts == [1]


def test_runs_are_cut_at_the_size_beyond_which_a_row_costs_more() -> None:
    clock, cuts = [0.0], []

    def run(rows: int) -> None:
        size = min(rows, cuts[0]) if cuts else rows
        clock[0] += rows * (0.001 if size == 1 else 0.0005 if size <= 8 else 0.0006)

    found = measure(run, whole=True, cut=cuts.append, clock=lambda: clock[0], work=lambda: clock[0])
    assert cuts == [8]
    assert found.time(64) == pytest.approx(64 * 0.0005)


def test_a_model_leaves_the_loop_when_many_batches_are_slow_and_only_then() -> None:
    pace = Pace(profile(0.00001, 0.00002, 0.0001), 1.0)
    for _ in range(20):
        for _ in range(19):
            pace.ran_inline(1, 0.00002)
        pace.ran_inline(1, 0.02)  # the machine was busy: one in twenty
    assert not pace.slow
    for _ in range(200):
        pace.ran_inline(1, 0.02)
    assert pace.slow


@given(st.floats(1e-5, 2.0), st.integers(1, 4096), st.floats(0.1, 5.0))
def test_a_batch_stays_bounded_in_time_when_the_model_gets_slower(row: float, largest: int, wait: float) -> None:
    pace = Pace(profile(0.00001, 0.00002, 0.0001), wait)
    pace.start(0.00001, 2, largest, moved=False)
    for _ in range(200):
        pace.ran(pace.batch, pace.batch * row)
    assert 1 <= pace.batch <= largest
    assert pace.batch * row <= max(0.06, 1.6 * row)
    assert pace.patience == max(wait, 4 * pace.span)


@pytest.mark.parametrize("fixed", [0.02, 0.045, 0.1, 0.19])
def test_a_model_that_costs_as_much_for_one_row_as_for_many_is_asked_for_many(fixed: float) -> None:
    """Also after a long time of single requests, each of which took all of it for one row."""
    clock = [0.0]

    def run(rows: int) -> None:
        clock[0] += fixed + 0.0001 * rows

    found = measure(run, whole=True, clock=lambda: clock[0], work=lambda: clock[0])
    assert found.rows == SIZES
    assert clock[0] < 5.0
    largest = threaded(found, 2, "").largest
    assert largest >= 64
    pace = Pace(found, 1.0)
    pace.start(found.time(largest) / largest, 2, largest, moved=False)
    for _ in range(500):
        pace.ran(1, fixed + 0.0001)
    assert pace.batch >= 64
    assert pace.span <= max(0.05, 1.5 * fixed + 0.001)


def test_a_model_that_is_another_than_was_measured_is_judged_by_what_it_does() -> None:
    """The user's code may take long for rows that are unlike the one it was warmed up with."""
    pace = Pace(profile(0.0003, 0.00031, 0.00035), 1.0)  # as a function of whole columns costs
    pace.start(0.00001, 2, 512, moved=False)
    assert pace.batch == 512
    now = 0.0
    for _ in range(60):
        now += 0.02
        pace.ran(1, 0.02, now, waiting=True)
    assert pace.batch == 2
    assert pace.drain == pytest.approx(0.02, rel=0.1)


def test_the_way_back_takes_long_and_longer_each_time() -> None:
    pace = Pace(profile(0.00001, 0.00002, 0.0001), 1.0)
    needed = []
    for _ in range(3):
        pace.start(0.001, 2, 64, moved=True)
        count = 0
        while not pace.calm:
            pace.ran(1, 0.00002)
            count += 1
        needed.append(count)
        pace.start(0.00001, 2, 64, moved=False)
    assert needed[1] == 2 * needed[0]
    assert needed[2] == 4 * needed[0]
    pace.start(0.001, 2, 64, moved=True)
    for _ in range(10_000):
        pace.ran(1, 0.02)
    assert not pace.calm
    assert pace.batch < 64


def test_a_model_that_began_in_threads_is_never_calm() -> None:
    pace = Pace(profile(0.001, 0.008, 0.064), 1.0)
    pace.start(0.001, 2, 64, moved=False)
    for _ in range(10_000):
        pace.ran(1, 0.0001)
    assert not pace.calm


def test_what_waits_is_counted_by_what_really_gets_done() -> None:
    pace = Pace(profile(0.001, 0.008, 0.064), 1.0)
    pace.start(0.001, 2, 64, moved=False)
    assert pace.drain == 0.0005
    now = 100.0
    for _ in range(200):  # each batch of four takes its thread 5 ms, but one comes back only every 20 ms
        now += 0.02
        pace.ran(4, 0.005, now, waiting=True)
    assert pace.drain == pytest.approx(0.005, rel=0.01)
    pace.ran(4, 0.005, now + 1000, waiting=False)
    pace.ran(4, 0.005, now + 5000, waiting=True)  # nothing waited meanwhile: that says nothing
    before = pace.drain
    pace.ran(4, 0.005, now + 5000.02, waiting=True)
    assert pace.drain <= before
