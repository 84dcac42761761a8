"""Prometheus' text format: what a member's /metrics says."""

import re
import urllib.request
from dataclasses import dataclass, field

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')

Labels = tuple[tuple[str, str], ...]


@dataclass
class Metric:
    """One metric with its series. Those of a histogram keep their suffixes and bounds."""

    name: str
    help: str = ""
    kind: str = ""
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, **labels: str) -> float:
        """The sum of the series that have these labels."""
        return sum(
            value for (name, found), value in self.samples.items()
            if name == self.name and labels.items() <= dict(found).items()
        )

    @property
    def count(self) -> float:
        """How many observations a histogram has, in all series."""
        return sum(value for (name, _), value in self.samples.items() if name == f"{self.name}_count")

    @property
    def label_names(self) -> set[str]:
        return {name for _, labels in self.samples for name, _ in labels}

    @property
    def bounds(self) -> list[str]:
        return list(dict.fromkeys(dict(labels)["le"] for name, labels in self.samples if name == f"{self.name}_bucket"))


def parse(text: str) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, help_text = line[7:].split(" ", 1)
            metrics.setdefault(name, Metric(name)).help = help_text
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ", 1)
            metrics.setdefault(name, Metric(name)).kind = kind
        elif line:
            match = SAMPLE.match(line)
            assert match, f"no sample: {line!r}"
            name = match[1]
            base = name if name in metrics else re.sub(r"_(bucket|sum|count)$", "", name)
            assert base in metrics, f"a sample of no metric: {line!r}"
            labels = tuple(sorted(LABEL.findall(match[2] or "")))
            assert (name, labels) not in metrics[base].samples, f"twice: {line!r}"
            metrics[base].samples[name, labels] = float(match[3])
    return metrics


def text(client_url: str) -> str:
    with urllib.request.urlopen(f"{client_url}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def scrape(client_url: str) -> dict[str, Metric]:
    return parse(text(client_url))
