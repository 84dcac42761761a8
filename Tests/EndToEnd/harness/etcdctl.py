"""Runs the genuine etcdctl against a member and keeps what it printed."""

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import settings
from .member import Member
from .normalise import normalised

_GRANTED = re.compile(r"lease ([0-9a-f]+) granted|\"ID\":(\d{9,})|^\"ID\" : (\d{9,})", re.M)


@dataclass
class Command:
    """One finished etcdctl command."""

    arguments: list[str]
    code: int
    output: str
    errors: str

    @property
    def ok(self) -> bool:
        return self.code == 0


@dataclass
class Session:
    """A row of etcdctl commands against one member, and their transcript."""

    member: Member
    transcript: list[Command] = field(default_factory=list)
    leases: list[int] = field(default_factory=list)
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.member.directory / "session"
        self.directory.mkdir(exist_ok=True)
        self._running: list[Running] = []

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [settings.ETCDCTL, "--endpoints", self.member.endpoint, *(str(part) for part in arguments)]

    @staticmethod
    def _environment() -> dict[str, str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCDCTL_")}
        return environment | {"ETCDCTL_API": "3"}

    def quiet(self, *arguments: object, stdin: str | bytes = b"", shown: list[str] | None = None) -> Command:
        """Runs a command without keeping it in the transcript."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self._command(arguments), input=data, capture_output=True, cwd=self.directory,
            env=self._environment(), timeout=settings.COMMAND_TIMEOUT, check=False,
        )
        # Latin-1 keeps every byte, so binary forms are compared byte by byte too.
        text = [stream.decode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr)]
        return Command(shown or [str(part) for part in arguments], done.returncode, *text)

    def __call__(self, *arguments: object, stdin: str | bytes = b"", shown: list[str] | None = None) -> Command:
        """Runs a command to its end and keeps what it printed."""
        command = self.quiet(*arguments, stdin=stdin, shown=shown)
        self._keep(command)
        return command

    def _keep(self, command: Command) -> None:
        self.transcript.append(command)
        if command.arguments[:2] == ["lease", "grant"]:
            for match in _GRANTED.finditer(command.output):
                hexadecimal, *decimals = match.groups()
                lease = int(hexadecimal, 16) if hexadecimal else int(next(d for d in decimals if d))
                self.leases.append(lease)

    def grant(self, ttl: int, *flags: str) -> str:
        """Grants a lease and returns its id in hexadecimal, as etcdctl takes it."""
        self("lease", "grant", ttl, *flags)
        return f"{self.leases[-1]:x}"

    def start(self, *arguments: object) -> "Running":
        """Starts a command that ends only when told to, such as a watch."""
        running = Running(self, [str(part) for part in arguments], self._command(arguments))
        self._running.append(running)
        return running

    def close(self) -> None:
        for running in self._running:
            running.discard()

    def normalised(self) -> list[str]:
        """The transcript as blocks of text that equal those of another member that answers alike."""
        blocks = []
        for command in self.transcript:
            text = f"$ etcdctl {' '.join(command.arguments)}\n[{command.code}]\n{command.output}"
            if command.errors:
                text += f"\n[stderr]\n{command.errors}"
            blocks.append(normalised(text, self.member.port, self.leases, str(self.directory)))
        return blocks


class Running:
    """An etcdctl that stays: its lines can be awaited, lines can be sent to it."""

    def __init__(self, session: Session, arguments: list[str], command: list[str]):
        self.session = session
        self.arguments = arguments
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=session.directory, env=Session._environment(),
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, store), daemon=True)
            for stream, store in ((self._process.stdout, self.lines), (self._process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, store: list[str]) -> None:
        for line in iter(stream.readline, b""):
            with self._changed:
                store.append(line.decode("utf-8", "surrogateescape").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def send(self, line: str) -> "Running":
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self

    def wait_lines(self, count: int, timeout: float = 30.0) -> "Running":
        """Returns when `count` lines have been printed on stdout."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self.lines) < count:
                left = deadline - time.monotonic()
                if left <= 0 or (self._process.poll() is not None and not self._readers[0].is_alive()):
                    raise TimeoutError(
                        f"etcdctl {' '.join(self.arguments)}: {len(self.lines)} of {count} lines: {self.lines[-20:]} "
                        f"stderr: {self.errors[-5:]}"
                    )
                self._changed.wait(min(left, 0.1))
        return self

    def wait_exit(self, timeout: float = 30.0) -> Command:
        """Waits until the command ends by itself and keeps it in the transcript."""
        self._process.wait(timeout)
        return self._finish(self._process.returncode)

    def interrupt(self) -> None:
        """Ctrl-C; the command ends in its own time."""
        self._process.send_signal(signal.SIGINT)

    def stop(self) -> Command:
        """Ends the command as Ctrl-C does and keeps it in the transcript."""
        self.interrupt()
        self._process.wait(30)
        return self._finish(0)

    def _finish(self, code: int) -> Command:
        for reader in self._readers:
            reader.join(10)
        command = Command(self.arguments, code, "\n".join(self.lines), "\n".join(self.errors))
        self.session._keep(command)
        self.discard()
        return command

    def discard(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
