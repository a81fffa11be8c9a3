# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results: median, minimum and maximum of the rounds; tables for people, JSON for programs.

The JSON: {"rows": [{"metric", "unit", "subject", "value", "min", "max"}], "ratios": [{"metric", "subject",
"peer", "ratio"}]}, where value is the median and ratio the value of the subject, one of ours, divided by that of the
peer. A peer NAME-SUBJECT is the one for that subject only, and is called NAME there; best-NAME is the one of these
with the highest value, for all subjects.
"""

import json
import os
import statistics

OURS = "zsd"
BEST = "best-"


class Report:
    def __init__(self, ours=(OURS,)):
        self.ours = ours
        self._samples = {}  # (metric, subject) -> values, in the order of the rounds
        self._units = {}  # metric -> unit, in the order of first use

    def add(self, metric, unit, subject, value):
        self._units.setdefault(metric, unit)
        self._samples.setdefault((metric, subject), []).append(value)

    def metrics(self):
        return list(self._units)

    def median(self, metric, subject):
        """The median of the samples, or None where there are none."""
        samples = self._samples.get((metric, subject))
        return statistics.median(samples) if samples else None

    def least(self, metric, subject):
        """The least of the samples, or None where there are none: of a cost the one with the least disturbance."""
        samples = self._samples.get((metric, subject))
        return min(samples) if samples else None

    def ratio(self, metric, peer, subject=None):
        """Ours divided by the peer's, or None where either is missing or the peer's is 0."""
        subject = subject or self.ours[0]
        ours = self.median(metric, subject)
        if peer.startswith(BEST):
            variants = self._variants(metric, peer.removeprefix(BEST))
            theirs = max((self.median(metric, name) for name in variants), default=None)
        else:
            theirs = self.median(metric, f"{peer}-{subject}") or self.median(metric, peer)
        return None if ours is None or not theirs else ours / theirs

    def paired(self, metric, peer):
        """
        Lower quartile, median and upper quartile of ours divided by the peer's in the same round, or None: what
        disturbs the machine for longer than a round disturbs both.
        """
        pairs = zip(self._samples.get((metric, self.ours[0]), ()), self._samples.get((metric, peer), ()))
        ratios = [ours / theirs for ours, theirs in pairs if theirs]
        return statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else None

    def rows(self):
        rows = []
        for metric, unit in self._units.items():
            for (name, subject), samples in self._samples.items():
                if name == metric:
                    rows.append({
                        "metric": metric, "unit": unit, "subject": subject, "value": statistics.median(samples),
                        "min": min(samples), "max": max(samples),
                    })
        return rows

    def ratios(self, metrics):
        ratios = []
        for metric in metrics:
            for subject in self.ours:
                for peer in self.peers(metric):
                    ratio = self.ratio(metric, peer, subject)
                    if ratio is not None:
                        ratios.append({"metric": metric, "subject": subject, "peer": peer, "ratio": ratio})
        return ratios

    def peers(self, metric):
        """Whose ratios there are of a metric."""
        theirs = [subject for name, subject in self._samples if name == metric and subject not in self.ours]
        peers = [peer for peer in theirs if not peer.endswith(tuple(f"-{subject}" for subject in self.ours))]
        return peers + [BEST + peer for peer in peers if len(self._variants(metric, peer)) > 1]

    def _variants(self, metric, peer):
        names = [peer, *(f"{peer}-{subject}" for subject in self.ours)]
        return [name for name in names if self.median(metric, name) is not None]

    def table(self, metrics, subjects, spread=True):
        """One line a metric, one column a subject: median and, with spread, [min-max]."""
        lines = [["", "unit", *subjects]]
        for metric in metrics:
            if metric in self._units:
                cells = (self._cell(metric, subject, spread) for subject in subjects)
                lines.append([metric, self._units[metric], *cells])
        return format_table(lines)

    def _cell(self, metric, subject, spread):
        samples = self._samples.get((metric, subject))
        if not samples:
            return "-"
        text = format_number(statistics.median(samples))
        if spread and len(samples) > 1:
            text += f" [{format_number(min(samples))}-{format_number(max(samples))}]"
        return text

    def ratio_table(self, metrics, peers, subject=None):
        lines = [["", *(f"{subject or self.ours[0]}/{peer}" for peer in peers)]]
        for metric in metrics:
            ratios = [self.ratio(metric, peer, subject) for peer in peers]
            if any(ratio is not None for ratio in ratios):
                lines.append([metric, *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
        return format_table(lines)

    def paired_table(self, metrics, peers):
        lines = [["", *(f"{self.ours[0]}/{peer}" for peer in peers)]]
        for metric in metrics:
            paired = [self.paired(metric, peer) for peer in peers]
            if any(paired):
                lines.append([metric, *("-" if not quartiles else "{1:.2f} [{0:.2f}-{2:.2f}]".format(*quartiles)
                                        for quartiles in paired)])
        return format_table(lines)

    def write(self, path, ratio_metrics):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"rows": self.rows(), "ratios": self.ratios(ratio_metrics)}, file, indent=1)
            file.write("\n")
        os.replace(path + ".new", path)


def format_number(value):
    """Three significant digits; thousands as k, so that columns stay narrow."""
    if value >= 1e8:
        return f"{value / 1e6:.0f}M"
    if value >= 1e4:
        return f"{value / 1e3:.0f}k" if value >= 1e5 else f"{value / 1e3:.1f}k"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def format_table(lines):
    """First column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_format_line(line, widths) for line in lines)


def _format_line(line, widths):
    cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
    return "  ".join([line[0].ljust(widths[0]), *cells]).rstrip()
