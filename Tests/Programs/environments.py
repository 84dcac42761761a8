"""The Python environments of other people's programs, each with its own packages, in .build/programs."""

import subprocess
import sys
import tarfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
PLACE = REPOSITORY / ".build" / "programs"

# Programs whose tests come with the source archive only.
SOURCES = {"aetcd": "aetcd==1.0.0"}


def python(name: str) -> Path:
    """The interpreter of a program's environment, which is made when it is not there or its requirements changed."""
    requirements = REQUIREMENTS / f"{name}.txt"
    environment = PLACE / name
    stamp = environment / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        _run("/usr/bin/python3", "-m", "venv", "--clear", str(environment))
        pip = [str(environment / "bin" / "pip"), "-q", "--disable-pip-version-check"]
        _run(*pip, "install", "-r", str(requirements))
        if name in SOURCES:
            _run(*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", str(environment / "source"), SOURCES[name])
            for archive in (environment / "source").glob("*.tar.gz"):
                with tarfile.open(archive) as file:
                    file.extractall(environment / "source")
        stamp.write_text(requirements.read_text())
    return environment / "bin" / "python"


def source(name: str) -> Path:
    """The unpacked source archive of a program."""
    return next(path for path in (PLACE / name / "source").iterdir() if path.is_dir())


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    for file in sorted(REQUIREMENTS.glob("*.txt")):
        print(f"programs: {file.stem} in {python(file.stem)}", file=sys.stderr)
