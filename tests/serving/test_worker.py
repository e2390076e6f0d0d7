from __future__ import annotations

import threading

import pytest

from napari_nunext.serving.worker import ModelWorker, WorkerBusyError


@pytest.fixture
def worker():
    worker = ModelWorker(waiting_jobs=2)
    yield worker
    worker.close()


@pytest.fixture
def gate(worker):
    """A job that runs until the gate is set."""
    entered, gate = threading.Event(), threading.Event()
    worker.submit(lambda: (entered.set(), gate.wait(10)))
    assert entered.wait(10)
    yield gate
    gate.set()


def test_jobs_run_one_after_the_other_in_one_thread(worker, gate):
    seen = []
    done = threading.Event()
    worker.submit(lambda: seen.append(("first", threading.current_thread().name)))
    worker.submit(lambda: (seen.append(("second", threading.current_thread().name)), done.set()))
    assert not seen
    gate.set()
    assert done.wait(10)
    assert seen == [("first", "models"), ("second", "models")]


def test_more_than_may_wait_are_refused(worker, gate):
    worker.submit(lambda: None)
    worker.submit(lambda: None)
    with pytest.raises(WorkerBusyError):
        worker.submit(lambda: None)


def test_a_job_that_waits_can_be_withdrawn_and_makes_room(worker, gate):
    ran = []

    def job():
        ran.append("withdrawn")

    worker.submit(job)
    worker.submit(lambda: ran.append("other"))
    assert worker.withdraw(job)
    assert not worker.withdraw(job)
    worker.submit(lambda: None)
    gate.set()
    worker.close()
    assert ran == ["other"]


def test_an_error_does_not_end_the_thread(worker, caplog):
    done = threading.Event()

    def fail():
        raise RuntimeError("a job's own fault")

    worker.submit(fail)
    worker.submit(done.set)
    assert done.wait(10)
    assert "a job's own fault" in caplog.text


def test_a_model_that_hangs_is_left_behind(worker, gate, caplog):
    worker.close(timeout_s=0.05)
    assert "left behind" in caplog.text
