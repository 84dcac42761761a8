"""The same script against the genuine server and the server under test, side by side."""

import difflib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, TypeVar

from . import settings
from .api import Calls
from .etcdctl import Session
from .member import Member

Result = TypeVar("Result")


class Pair:
    """Two fresh members of one cluster id: the genuine one and the one under test."""

    def __init__(self, directory: Path, flags: tuple[str, ...] = ()):
        self.genuine = Member(settings.GENUINE, directory / "genuine", flags, "genuine")
        self.ours = Member(settings.UNDER_TEST, directory / "ours", flags, "ours")

    def start(self) -> "Pair":
        self.both(lambda member: member.start())
        return self

    def close(self) -> None:
        for member in (self.genuine, self.ours):
            member.close()

    def both(self, action: Callable[[Member], Result]) -> tuple[Result, Result]:
        """Runs `action` for both members at once and returns both results, the genuine one first."""
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(action, member) for member in (self.genuine, self.ours)]
            return futures[0].result(), futures[1].result()

    def compare_sessions(self, script: Callable[[Session], None]) -> list[str]:
        """Runs an etcdctl session against both and fails where the transcripts differ."""

        def run(member: Member) -> list[str]:
            session = Session(member)
            try:
                script(session)
            finally:
                session.close()
            return session.normalised()

        genuine, ours = self.both(run)
        assert_equal_transcripts(genuine, ours)
        return genuine

    def compare_calls(self, script: Callable[[Calls], None]) -> list[str]:
        """Runs a row of gRPC calls against both and fails where the answers differ."""

        def run(member: Member) -> list[str]:
            calls = Calls(member)
            try:
                script(calls)
            finally:
                calls.close()
            return calls.transcript

        genuine, ours = self.both(run)
        assert_equal_transcripts(genuine, ours)
        return genuine


def assert_equal_transcripts(genuine: list[str], ours: list[str]) -> None:
    """Fails with the differing steps only, as a diff from the genuine answer to ours."""
    if settings.TRANSCRIPTS:
        with open(settings.TRANSCRIPTS, "a", errors="replace") as file:
            file.writelines(f"{os.environ.get('PYTEST_CURRENT_TEST')} {step}: {text}\n" for step, text in enumerate(genuine))
    if genuine == ours:
        return
    reports = []
    for step in range(max(len(genuine), len(ours))):
        left = genuine[step] if step < len(genuine) else "(no such step)"
        right = ours[step] if step < len(ours) else "(no such step)"
        if left != right:
            diff = difflib.unified_diff(_clipped(left), _clipped(right), "etcd 3.4", "under test", lineterm="", n=30)
            reports.append(f"step {step}:\n" + "\n".join(diff))
    raise AssertionError(f"{len(reports)} of {len(genuine)} steps differ\n" + "\n\n".join(reports[:20]))


def _clipped(text: str) -> list[str]:
    return [line if len(line) <= 1000 else line[:1000] + f"… ({len(line)} characters)" for line in text.split("\n")]
