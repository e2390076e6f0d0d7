"""The simulated batch: nothing is lost or doubled, and what fails costs what it must."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale import Plan, rough, simulate, sizes

PLAN = Plan(slides=40, windows=20_000, servers=3, rate=100.0)
FAILING = replace(PLAN, server_mtbf_h=0.3, kill_mtbf_h=0.1)


def test_a_batch_that_nothing_happens_to_takes_the_time_of_its_windows() -> None:
    one = simulate(replace(PLAN, servers=1))
    seconds = sum(sizes(PLAN, 0)) / PLAN.rate + PLAN.slides * PLAN.opening_s
    assert one.hours == pytest.approx(seconds / 3600)
    assert (one.recorded, one.decoded) == (sum(sizes(PLAN, 0)), sum(sizes(PLAN, 0)))
    assert (one.redone, one.left_out, one.deaths, one.kills) == (0, 0, 0, 0)
    three = simulate(PLAN)
    assert one.hours / 3 < three.hours < one.hours / 3 * 1.1


@pytest.mark.parametrize("seed", range(8))
def test_whatever_fails_each_window_is_recorded_once(seed: int) -> None:
    went = simulate(FAILING, seed)
    assert went.deaths > 3
    assert went.kills > 0
    assert list(went.per_slide) == sizes(FAILING, seed)
    assert went.left_out == 0
    lost_at_most = FAILING.in_flight + FAILING.group_s * FAILING.rate + 1
    failures = went.deaths + went.kills * FAILING.servers
    assert 0 < went.decoded - went.recorded <= lost_at_most * failures
    assert went.hours > simulate(PLAN, seed).hours


def test_servers_die_as_often_as_the_plan_says() -> None:
    plan = replace(PLAN, slides=600, server_mtbf_h=0.5)
    went = simulate(plan)
    expected = went.hours * plan.servers / plan.server_mtbf_h
    assert abs(went.deaths - expected) < 5 * expected**0.5


def test_a_kill_stops_every_server_until_the_batch_is_back() -> None:
    plan = replace(PLAN, servers=2, kill_mtbf_h=0.1, batch_back_s=7200.0)
    went = simulate(plan)
    down_h = went.kills * plan.batch_back_s / 3600
    # What is left is work, on two servers: it fits beside the time in which nobody works.
    assert went.kills > 1
    assert went.hours > down_h + went.decoded / plan.rate / plan.servers / 3600
    assert list(went.per_slide) == sizes(plan, 0)


def test_a_slide_that_no_server_survives_is_left_out_and_the_others_are_whole() -> None:
    went = simulate(replace(PLAN, slides=200, poison=0.1))
    whole = sizes(replace(PLAN, slides=200), 0)
    broken = [i for i, n in enumerate(went.per_slide) if n < whole[i]]
    assert 5 < len(broken) == went.left_out < 40
    assert all(went.per_slide[i] > whole[i] // 2 - 1000 for i in broken)  # what was found stays


def test_the_same_seed_gives_the_same_night_and_another_gives_another() -> None:
    plan = rough(replace(PLAN, slides=400))
    assert simulate(plan, 3) == simulate(plan, 3)
    assert simulate(FAILING, 3) != simulate(FAILING, 4)


def test_recording_more_seldom_loses_more() -> None:
    seldom = replace(FAILING, group_s=120.0)
    assert simulate(seldom).redone > 2 * simulate(FAILING).redone
