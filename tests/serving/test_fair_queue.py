from __future__ import annotations

import pytest

from napari_nunext.serving.jobs.fair_queue import WEIGHTS, FairQueue, Job


def endless():
    while True:
        yield


def job(user, urgency="interactive"):
    return Job(endless, user, urgency)


def serve(queue, slices, *, seconds=1.0):
    """Give turns; returns whose they were."""
    turns = []
    for _ in range(slices):
        picked = queue.pick()
        picked.began = picked.began or iter(picked.steps())
        queue.charge(picked, seconds)
        turns.append(picked)
    return turns


def test_users_share_alike_however_much_one_asks_for():
    queue = FairQueue(at_once=4)
    for _ in range(3):
        queue.add(job("greedy"))
    modest = job("modest")
    queue.add(modest)
    turns = serve(queue, 100)
    assert sum(turn is modest for turn in turns) == 50


def test_shares_follow_the_weights_and_a_batch_is_never_starved():
    queue = FairQueue(at_once=4)
    batch, interactive = job("a", "batch"), job("b", "interactive")
    queue.add(batch)
    queue.add(interactive)
    turns = serve(queue, 900)
    expected = 900 / (1 + WEIGHTS["interactive"] / WEIGHTS["batch"])
    assert sum(turn is batch for turn in turns) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("busy", ["batch", "interactive"])
def test_a_click_goes_before_what_has_long_been_running(busy):
    queue = FairQueue(at_once=4)
    queue.add(job("a", busy))
    serve(queue, 50)
    click = job("b", "click")
    queue.add(click)
    turns = serve(queue, 3)
    assert click in turns[:2]


def test_a_persons_click_does_not_wait_for_their_own_slide():
    queue = FairQueue(at_once=1)
    queue.add(job("me", "interactive"))
    serve(queue, 20)
    click = job("me", "click")
    queue.add(click)
    assert click in serve(queue, 2)


def test_who_was_idle_has_no_right_to_make_up_for_it():
    queue = FairQueue(at_once=4)
    steady = job("steady")
    queue.add(steady)
    serve(queue, 1000)
    late = job("late")
    queue.add(late)
    turns = serve(queue, 20)
    assert 9 <= sum(turn is late for turn in turns) <= 11


def test_asking_again_and_again_does_not_get_ahead():
    """One who sends ten short requests and one who sends a long one get the same."""
    queue = FairQueue(at_once=4)
    long = job("long")
    queue.add(long)
    served = {"long": 0, "short": 0}
    short = job("short")
    queue.add(short)
    for _ in range(200):
        (turn,) = serve(queue, 1)
        served[turn.user] += 1
        if turn is short:
            queue.remove(short)
            short = job("short")
            queue.add(short)
    assert abs(served["long"] - served["short"]) <= 2


def test_only_so_many_are_under_way_but_everybody_may_begin_one():
    queue = FairQueue(at_once=2)
    many = [job("many") for _ in range(5)]
    for each in many:
        queue.add(each)
    turns = serve(queue, 50)
    assert {id(turn) for turn in turns} == {id(each) for each in many[:2]}
    other = job("other")
    queue.add(other)
    assert other in serve(queue, 4)
    assert queue.waiting() == 3
    assert queue.waiting("other") == 0
    queue.remove(many[0])
    queue.remove(many[1])
    assert many[2] in serve(queue, 4)


def test_in_a_flow_the_least_served_goes_first_and_ties_by_arrival():
    queue = FairQueue(at_once=4)
    first, second = job("me"), job("me")
    queue.add(first)
    queue.add(second)
    assert serve(queue, 4) == [first, second, first, second]


def test_a_cancelled_job_is_next():
    queue = FairQueue(at_once=4)
    slow = job("a", "batch")
    queue.add(slow)
    serve(queue, 10)
    queue.add(job("b", "click"))
    slow.hurried = True
    assert queue.pick() is slow


def test_who_has_something_to_pass_on_is_next_and_that_moves_nobody_back():
    queue = FairQueue(at_once=4)
    ahead, behind = job("ahead"), job("behind")
    queue.add(ahead)
    serve(queue, 100)
    queue.add(behind)
    serve(queue, 3)
    ahead.caller.has_news = True
    assert queue.pick() is ahead
    queue.charge(ahead, 0.001)
    ahead.caller.has_news = False
    late = job("late")
    queue.add(late)
    assert late in serve(queue, 2)


def test_a_shared_step_is_put_down_to_those_it_was_made_for():
    queue = FairQueue(at_once=4)
    few, many = job("few"), job("many")
    for each in (few, many):
        queue.add(each)
        each.began = endless()
    for _ in range(30):
        turn = queue.pick()
        few.caller.spent_s, many.caller.spent_s = 0.1, 0.8
        queue.charge(turn, 1.0)  # a tenth was the turn's own
        assert few.caller.spent_s == many.caller.spent_s == 0
    own = 0.1 * 30
    assert few.served_s + many.served_s == pytest.approx(30.0)
    assert many.served_s == pytest.approx(0.8 * 30, abs=own)
    # Who was served less makes nearly all of the steps, and is not charged for them.
    assert few.served_s == pytest.approx(0.1 * 30, abs=own + 1e-9)


def test_nothing_to_do_is_none():
    queue = FairQueue(at_once=1)
    assert queue.pick() is None
    assert len(queue) == 0
