from __future__ import annotations

import threading
import time

import pytest

from napari_nunext.serving.jobs.fair_queue import Job
from napari_nunext.serving.jobs.worker import SLICE_S, ModelWorker, WorkerBusyError, at_one_go
from tests.waiting import PATIENCE_S


@pytest.fixture
def worker():
    worker = ModelWorker(waiting_jobs=2)
    yield worker
    worker.close()


@pytest.fixture
def gate(worker):
    """A job that runs until the gate is set."""
    entered, gate = threading.Event(), threading.Event()
    worker.submit(at_one_go(lambda: (entered.set(), gate.wait(PATIENCE_S))))
    assert entered.wait(PATIENCE_S)
    yield gate
    gate.set()


def test_jobs_run_one_after_the_other_in_one_thread(worker, gate):
    seen = []
    done = threading.Event()
    worker.submit(at_one_go(lambda: seen.append(("first", threading.current_thread().name))))
    worker.submit(
        at_one_go(lambda: (seen.append(("second", threading.current_thread().name)), done.set()))
    )
    assert not seen
    gate.set()
    assert done.wait(PATIENCE_S)
    assert seen == [("first", "models"), ("second", "models")]


def test_more_than_may_wait_are_refused(worker, gate):
    worker.submit(at_one_go(lambda: None))
    worker.submit(at_one_go(lambda: None))
    with pytest.raises(WorkerBusyError):
        worker.submit(at_one_go(lambda: None))


def test_a_job_that_waits_can_be_withdrawn_and_makes_room(worker, gate):
    ran = []

    job = at_one_go(lambda: ran.append("withdrawn"))
    worker.submit(job)
    worker.submit(at_one_go(lambda: ran.append("other")))
    assert worker.withdraw(job)
    assert not worker.withdraw(job)
    worker.submit(at_one_go(lambda: None))
    gate.set()
    worker.close()
    assert ran == ["other"]


def test_an_error_does_not_end_the_thread(worker, caplog):
    done = threading.Event()

    def fail():
        raise RuntimeError("a job's own fault")

    worker.submit(at_one_go(fail))
    worker.submit(at_one_go(done.set))
    assert done.wait(PATIENCE_S)
    assert "a job's own fault" in caplog.text


def test_a_model_that_hangs_is_left_behind(worker, gate, caplog):
    worker.close(timeout_s=0.05)
    assert "left behind" in caplog.text


def test_what_others_turns_brought_is_passed_on_between_them(worker, gate):
    """Two jobs share a detector: the steps of one are charged to the other, and find its news."""
    told_at, steps = [], []
    done = threading.Event()

    def theirs():
        for number in range(3):
            time.sleep(1.1 * SLICE_S)
            steps.append(number)
            mine.caller.spent_s += 100.0
            mine.caller.has_news = True
            yield
        done.set()

    def passing_on():
        while not done.is_set():
            if mine.caller.has_news:
                told_at.append(len(steps))
                mine.caller.has_news = False
            yield

    mine = Job(passing_on, "me")
    worker.submit(mine)
    worker.submit(Job(theirs, "they"))
    gate.set()
    assert done.wait(PATIENCE_S)
    assert told_at == [1, 2, 3]
