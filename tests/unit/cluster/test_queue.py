"""What is read out of Slurm's queue, with programs that stand in for Slurm's."""

import pytest

from rankdet.cluster import slurm as queue


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Let a script answer in place of squeue and scancel; return where scancel's words go."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def answer(text):
        (folder / "squeue").write_text(f"#!/bin/sh\ncat <<'E'\n{text}E\n")
        (folder / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
        for program in folder.iterdir():
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return tmp_path / "cancelled"

    return answer


def test_only_jobs_of_this_workflow_are_left_over(slurm, tmp_path):
    slurm(
        f"1|RUNNING|{tmp_path}|rule_train_wildcards_paper_rs_atss_r50\n"
        f"2|PENDING|{tmp_path}|rule_evaluate_wildcards_paper_rs_atss_r50\n"
        f"3|RUNNING|{tmp_path}|(null)\n"
        "4|RUNNING|/elsewhere|rule_train_wildcards_paper_rs_atss_r50\n"
    )
    found = queue.left_over(tmp_path)
    assert [job.job_id for job in found] == ["1", "2"]
    comment = queue.comment_of("train", ["paper", "rs_atss_r50"])
    assert queue.dependency_on(found, comment) == "--dependency=afterany:1"
    assert queue.dependency_on(found, queue.comment_of("train", ["paper", "other"])) is None


def test_what_waits_is_cancelled_and_what_runs_is_not(slurm, tmp_path):
    cancelled = slurm(f"1|RUNNING|{tmp_path}|rule_a\n2|PENDING|{tmp_path}|rule_b\n")
    assert [job.job_id for job in queue.cancel_waiting(queue.left_over(tmp_path))] == ["2"]
    assert cancelled.read_text() == "--state=PENDING 2\n"


@pytest.mark.parametrize(("job", "is_there"), [("18", True), ("8", False), ("1", False)])
def test_a_job_is_queued_under_its_whole_number(slurm, job, is_there):
    slurm("18\n7\n")
    assert queue.is_queued(job) is is_there


def test_nothing_is_left_over_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queue.left_over(tmp_path) == []
    assert queue.is_queued("1") is None
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert queue.seconds_left() is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:10", 10),
        ("1:00", 60),
        ("2:03:04", 7384),
        ("1-00:00:00", 86400),
        ("UNLIMITED", None),
        ("NOT_SET", None),
    ],
)
def test_how_slurm_writes_times(text, seconds):
    assert queue.duration(text) == seconds


def test_a_job_knows_how_long_it_may_run(slurm, monkeypatch):
    slurm("1:40\n")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert queue.seconds_left() is None
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert queue.seconds_left() == 100
