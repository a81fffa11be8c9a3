#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws what commands print on a terminal: terminal_picture.py [--columns N] OUTPUT COMMAND...

Each command is run by sh on a terminal of its own, and stands above what it printed. Colours, bold and inverse
characters are drawn as the commands ask for them by the sequences of ECMA-48 (SGR); other sequences are an error, since
what they do would be missing.
"""

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass, replace

from canvas import canvas, font, save

SIZE = 15
MARGIN = 16
LINE_GAP = 4
LINES = 50
FOREGROUND = "#d8dee9"
BACKGROUND = "#1d2129"
PROMPT = "\x1b[1m# "
# The eight colours of a terminal, and the brighter ones.
PALETTE = (
    "#4c566a", "#d9626d", "#8fbf6f", "#e0b458", "#6d9fd8", "#b58bc4", "#62b8c4", "#d8dee9",
    "#6b778d", "#ef7d87", "#a9d68a", "#f2cc7a", "#8cb9ee", "#cda6da", "#84d2dd", "#ffffff",
)
SEQUENCE = re.compile(r"\x1b(?:\[([0-9;]*)([A-Za-z])|.)")


@dataclass(frozen=True)
class Style:
    foreground: str = FOREGROUND
    background: str = BACKGROUND
    bold: bool = False
    inverse: bool = False

    def colors(self):
        pair = (self.foreground, self.background)
        return pair[::-1] if self.inverse else pair


def select(style, code):
    """The style after one parameter of SGR."""
    if code == 0:
        return Style()
    if code in (1, 22):
        return replace(style, bold=code == 1)
    if code in (7, 27):
        return replace(style, inverse=code == 7)
    for first, name, default in ((30, "foreground", FOREGROUND), (40, "background", BACKGROUND)):
        if first <= code < first + 8:
            return replace(style, **{name: PALETTE[code - first]})
        if first + 60 <= code < first + 68:
            return replace(style, **{name: PALETTE[code - first - 52]})
        if code == first + 9:
            return replace(style, **{name: default})
    raise ValueError(f"SGR {code} can't be drawn")


def parse(text):
    """Rows of (character, style)."""
    rows, style, at = [[]], Style(), 0
    while at < len(text):
        sequence = SEQUENCE.match(text, at)
        if sequence and sequence[2] != "m":
            raise ValueError(f"{sequence[0]!r} can't be drawn")
        if sequence:
            for code in sequence[1].split(";"):
                style = select(style, int(code or 0))
        elif text[at] == "\n":
            rows.append([])
        elif text[at] != "\r":
            rows[-1].append((text[at], style))
        at = sequence.end() if sequence else at + 1
    return rows if rows[-1] else rows[:-1]


def draw(rows):
    """An image of the rows; each character has its cell, whatever its own width is."""
    faces = {bold: font(SIZE, bold) for bold in (False, True)}
    ascent, descent = faces[False].getmetrics()
    width, height = round(faces[False].getlength("M")), ascent + descent + LINE_GAP
    columns = max((len(row) for row in rows), default=0)
    image, pen = canvas(columns * width + 2 * MARGIN, len(rows) * height + 2 * MARGIN, BACKGROUND)
    for line, row in enumerate(rows):
        for column, (character, style) in enumerate(row):
            left, top = MARGIN + column * width, MARGIN + line * height
            foreground, background = style.colors()
            if background != BACKGROUND:
                pen.rectangle((left, top, left + width - 1, top + height - 1), background)
            pen.text((left, top + LINE_GAP // 2), character, foreground, faces[style.bold])
    return image


def run(command, columns):
    """What a command prints on a terminal so wide."""
    leader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment.update(TERM="xterm-256color", LC_ALL="C.UTF-8")
    child = subprocess.Popen(["sh", "-c", command], stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    output = bytearray()
    # The end of a terminal whose other side is closed is an error of reading.
    while True:
        try:
            output += os.read(leader, 65536)
        except OSError:
            break
    os.close(leader)
    if child.wait():
        sys.exit(f"terminal_picture.py: {command}: {output.decode()}")
    return output.decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("output")
    parser.add_argument("commands", nargs="+")
    options = parser.parse_args()
    parts = [f"{PROMPT}{command}\x1b[0m\n{run(command, options.columns)}" for command in options.commands]
    save(draw(parse("\n".join(parts))), options.output)


if __name__ == "__main__":
    main()
