"""What is said of a target on which something failed: which version, when, why, and where it led."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from interlock.decide.explain import QUOTED_MAX, EndedMove, failures

T0 = datetime(2026, 3, 9, 9, tzinfo=UTC)


def ended(
    name: str, state: str, minute: int, *, kind: str = "forward", tag: str = "1.1.0", **more: object
) -> EndedMove:
    at = T0 + timedelta(minutes=minute)
    said: dict[str, object] = {
        "undoes_move_id": None,
        "measured_state": None,
        "measured_message": None,
        "measured_at": None,
        "job_status": "successful",
        "job_message": None,
        "job_ended_at": at,
        "jobs": 1,
        **more,
    }
    return EndedMove(name, "target", kind, tag, state, at, **said)  # type: ignore[arg-type]


GOOD = ended("good", "succeeded", 0, tag="1.0.0")
MEASURED = {"measured_state": "failed", "measured_at": T0 + timedelta(minutes=5)}


def test_a_failed_verification_says_when_why_and_where_it_went_back_to() -> None:
    bad = ended("bad", "failed", 6, measured_message="error-rate: 1 of 2 measurements failed, 0 tolerated.", **MEASURED)
    back = ended("back", "succeeded", 9, kind="rollback", tag="1.0.0", undoes_move_id="bad")
    why = "error-rate: 1 of 2 measurements failed, 0 tolerated"
    assert failures([back, bad, GOOD]) == [
        f"1.1.0 failed its verification at 2026-03-09T09:05:00Z: {why}; rolled back to 1.0.0 at 2026-03-09T09:09:00Z."
    ]


def test_a_failed_job_says_its_message_and_how_often_it_was_tried() -> None:
    bad = ended("bad", "failed", 6, job_status="failure", job_message="exit 1\nport 80 is taken\n", jobs=2)
    assert failures([bad]) == ["1.1.0 failed after 2 attempts at 2026-03-09T09:06:00Z: exit 1 port 80 is taken."]
    lost = ended("bad", "failed", 6, job_status="externalRunNotFound")
    assert failures([lost]) == ["1.1.0 failed at 2026-03-09T09:06:00Z (job externalRunNotFound)."]


def test_a_rollback_that_fails_too_is_told_after_what_it_answered() -> None:
    bad = ended("bad", "failed", 6, job_status="failure", job_message="one")
    back = ended("back", "failed", 9, kind="rollback", tag="1.0.0", undoes_move_id="bad", **MEASURED)
    assert failures([back, bad, GOOD]) == [
        "1.1.0 failed at 2026-03-09T09:06:00Z: one.",
        "The rollback to 1.0.0 failed its verification at 2026-03-09T09:05:00Z.",
    ]


def test_what_could_not_be_verified_or_was_cancelled_is_not_called_failed() -> None:
    unclear = ended("bad", "failed", 6, measured_state="inconclusive", measured_at=T0)
    assert failures([unclear]) == ["1.1.0 could not be verified at 2026-03-09T09:00:00Z."]
    stopped = ended("bad", "cancelled", 6, job_status="cancelled")
    assert failures([stopped]) == ["1.1.0 was cancelled at 2026-03-09T09:06:00Z."]


def test_what_went_well_since_ends_the_telling() -> None:
    bad = ended("bad", "failed", -6)
    assert failures([GOOD, bad]) == []
    assert failures([]) == []


def test_a_long_message_keeps_its_end() -> None:
    bad = ended("bad", "failed", 6, job_status="failure", job_message="x" * 9999 + " disk full")
    assert failures([bad])[0].endswith("x disk full.")
    assert len(failures([bad])[0]) < QUOTED_MAX + 60
