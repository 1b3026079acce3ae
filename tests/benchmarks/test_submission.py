"""What `make bench` changes about a gateway is still there to be changed."""

from __future__ import annotations

from benchmarks import bench_submission, stack


def test_in_the_gateway_that_only_takes_tasks_each_of_them_waits() -> None:
    with bench_submission._waiting_gateway(), stack.running(tenants=stack.UNLIMITED, workers=1) as running:
        load = bench_submission._load(running, 20)
        tasks = running.control("GET", "/tasks?limit=100")["tasks"]
    assert len(load.outcome.latencies) == 20 <= len(tasks)
    assert {task["state"] for task in tasks} == {"QUEUED"}
