#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws the benchmark's ratios against each peer as bars: ratio_plot.py OUTPUT IO.JSON, the file of ./dev bench io.

A bar begins at 1 and ends at the ratio, on a logarithmic scale, which is the same for all peers; losses go to the left.
What the file does not have is not drawn.
"""

import json
import math
import sys

from canvas import canvas, font, save

# Workload -> what a reader calls it, in the order of the picture.
WORKLOADS = {
    "write_1m_qd1": "write 1 MiB, QD1",
    "read_1m_qd1": "read 1 MiB, QD1",
    "write_1m_qd8": "write 1 MiB, QD8",
    "read_1m_qd8": "read 1 MiB, QD8",
    "randread_4k_qd1": "random read 4 KiB, QD1",
    "randwrite_4k_qd1": "random write 4 KiB, QD1",
    "randread_4k_qd32x1": "random read 4 KiB, QD32",
    "randread_4k_qd32x2": "random read 4 KiB, QD32 x 2",
    "randwrite_4k_qd32x2": "random write 4 KiB, QD32 x 2",
    "mixed_4k_4dev": "70 % reads 4 KiB, 4 devices",
}
PEERS = {"zram": "the kernel's zram", "nbdkit": "nbdkit + nbdfuse", "qsd": "qemu-storage-daemon"}
SUBJECTS = {"classic": ("#2f6db3", "#c8622c"), "uring": ("#8ab4e0", "#eda77f")}  # colours of a win and of a loss

SIZE = 14
ROW = 40
BAR = 15
OCTAVE = 44
PANEL_MIN = 5  # octaves: what a title takes
PANEL_GAP = 76
TOP = 84
MARGIN = 18
BACKGROUND = "#ffffff"
TEXT = "#24292f"
FAINT = "#d0d7de"


def read_ratios(path):
    """(workload, peer, subject) -> ratio, of those that are drawn."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["ratios"]
    return {
        (row["metric"], row["peer"], row["subject"]): row["ratio"] for row in rows
        if row["metric"] in WORKLOADS and row["peer"] in PEERS and row["subject"] in SUBJECTS
    }


def octaves(ratios):
    """The whole powers of two that the ratios lie between, 1 among them, and at least so many as a panel is wide."""
    logarithms = [math.log2(ratio) for ratio in ratios] + [0]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms))
    return low, max(high, low + PANEL_MIN)


def format_ratio(ratio):
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}"


class Panel:
    """The bars against one peer; left is where its scale begins."""

    def __init__(self, peer, ratios, left, height):
        self.title = PEERS[peer]
        self.ratios = {(key[0], key[2]): ratio for key, ratio in ratios.items() if key[1] == peer}
        self.low, self.high = octaves(self.ratios.values())
        self.left = left
        self.right = left + (self.high - self.low) * OCTAVE + PANEL_GAP
        self.height = height
        self.face = font(SIZE - 3)

    def x(self, ratio):
        return self.left + (math.log2(ratio) - self.low) * OCTAVE

    def draw_scale(self, pen):
        pen.text((self.left, TOP - 44), f"against {self.title}", TEXT, font(SIZE, True), anchor="lm")
        for power in range(self.low, self.high + 1):
            x = self.x(2.0 ** power)
            pen.line((x, TOP, x, TOP + self.height), TEXT if power == 0 else FAINT, 1)
            if power % 2 == 0:
                name = f"{2 ** power}" if power >= 0 else f"1/{2 ** -power}"
                pen.text((x, TOP - 14), name, TEXT, self.face, anchor="mm")

    def draw_bar(self, pen, top, ratio, colors):
        ends = sorted((self.x(1), self.x(ratio)))
        pen.rectangle((ends[0], top, ends[1], top + BAR - 1), colors[ratio < 1])
        outside = self.x(ratio) + (5 if ratio >= 1 else -5)
        pen.text((outside, top + BAR / 2), format_ratio(ratio), TEXT, self.face, anchor="lm" if ratio >= 1 else "rm")

    def draw(self, pen, workloads):
        self.draw_scale(pen)
        for line, workload in enumerate(workloads):
            for place, (subject, colors) in enumerate(SUBJECTS.items()):
                ratio = self.ratios.get((workload, subject))
                if ratio:
                    self.draw_bar(pen, TOP + line * ROW + ROW // 2 + (place - 1) * (BAR + 1), ratio, colors)


def draw_key(pen, y):
    text = "zsd's rate / the peer's: right of 1 zsd is faster.  qemu-storage-daemon compresses nothing.  Transport: "
    pen.text((MARGIN, y), text, TEXT, font(SIZE - 1), anchor="lm")
    x = MARGIN + pen.textlength(text, font(SIZE - 1))
    for subject, colors in SUBJECTS.items():
        for color in colors:
            pen.rectangle((x, y - 7, x + 13, y + 6), color)
            x += 17
        pen.text((x + 2, y), subject, TEXT, font(SIZE - 1), anchor="lm")
        x += 80


def draw(ratios):
    workloads = [name for name in WORKLOADS if any(key[0] == name for key in ratios)]
    peers = [name for name in PEERS if any(key[1] == name for key in ratios)]
    if not workloads:
        raise ValueError("there are no ratios to draw")
    height = len(workloads) * ROW
    right = labels = MARGIN + max(font(SIZE).getlength(WORKLOADS[name]) for name in workloads)
    panels = []
    for peer in peers:
        panels.append(Panel(peer, ratios, right + PANEL_GAP / 2, height))
        right = panels[-1].right - PANEL_GAP / 2
    image, pen = canvas(round(right + PANEL_GAP / 2), TOP + height + 44, BACKGROUND)
    for line, workload in enumerate(workloads):
        pen.text((labels, TOP + line * ROW + ROW / 2), WORKLOADS[workload], TEXT, font(SIZE), anchor="rm")
    for panel in panels:
        panel.draw(pen, workloads)
    draw_key(pen, TOP + height + 24)
    return image


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: ratio_plot.py OUTPUT IO.JSON")
    save(draw(read_ratios(sys.argv[2])), sys.argv[1])


if __name__ == "__main__":
    main()
