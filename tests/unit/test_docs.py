#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of what makes the pages and pictures: docs/*.py and man/varlink_page.py."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SOURCE = os.environ.get("SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path[:0] = [os.path.join(SOURCE, "docs"), os.path.join(SOURCE, "man")]

try:
    from PIL import Image
    import ratio_plot
    import terminal_picture
except ImportError as error:
    print(f"skip: {error}; install python3-pil and fonts-dejavu-core")
    sys.exit(77)
import varlink_page


def ratios(*rows):
    """A file as ./dev bench io writes it; rows: (metric, peer, subject, ratio)."""
    names = ("metric", "peer", "subject", "ratio")
    return json.dumps({"rows": [], "ratios": [dict(zip(names, row)) for row in rows]})


class TerminalTest(unittest.TestCase):
    def styles(self, text):
        return [style for _, style in terminal_picture.parse(text)[0]]

    def test_characters_have_the_colours_that_the_text_asks_for(self):
        green, plain, bright, both, none = self.styles("\x1b[32ma\x1b[39mb\x1b[94mc\x1b[1;7;41md\x1b[me")
        self.assertEqual(green.foreground, terminal_picture.PALETTE[2])
        self.assertEqual(plain, terminal_picture.Style())
        self.assertEqual(bright.foreground, terminal_picture.PALETTE[12])
        self.assertTrue(both.bold)
        self.assertEqual(both.colors(), (terminal_picture.PALETTE[1], terminal_picture.PALETTE[12]))
        self.assertEqual(none, terminal_picture.Style())

    def test_lines_end_as_on_a_terminal(self):
        rows = terminal_picture.parse("ab\r\n\r\nc\r\n")
        self.assertEqual(["".join(character for character, _ in row) for row in rows], ["ab", "", "c"])

    def test_what_cannot_be_drawn_is_an_error(self):
        for text in ("\x1b[2J", "\x1b[38;5;1mx", "\x1bc"):
            self.assertRaises(ValueError, terminal_picture.parse, text)

    def test_a_picture_is_as_large_as_its_text_and_has_its_colours(self):
        short, long = (terminal_picture.draw(terminal_picture.parse(text)) for text in ("x", "\x1b[32mxxxx\x1b[m\nx"))
        margins = 2 * terminal_picture.MARGIN
        self.assertEqual(long.width - margins, 4 * (short.width - margins))
        self.assertEqual(long.height - margins, 2 * (short.height - margins))
        colors = {color for _, color in long.getcolors(1 << 20)}
        self.assertIn(tuple(bytes.fromhex(terminal_picture.PALETTE[2][1:])), colors)

    def test_a_command_runs_on_a_terminal_and_its_picture_is_the_same_each_time(self):
        command = "test -t 1 && stty size && printf '\\033[31mred\\033[m\\n'"
        with tempfile.TemporaryDirectory() as directory:
            paths = [os.path.join(directory, name) for name in ("a.png", "b.png")]
            for path in paths:
                subprocess.run([f"{SOURCE}/docs/terminal_picture.py", "--columns", "77", path, command], check=True,
                               env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
            first, second = map(self.content, paths)
            with Image.open(paths[0]) as image:
                image.load()
        self.assertEqual(first, second)
        self.assertEqual(terminal_picture.run(command, 77), "50 77\r\n\x1b[31mred\x1b[m\r\n")

    @staticmethod
    def content(path):
        with open(path, "rb") as file:
            return file.read()

    def test_a_command_that_fails_makes_no_picture(self):
        self.assertRaises(SystemExit, terminal_picture.run, "false", 80)


class RatioTest(unittest.TestCase):
    def draw(self, *rows):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(ratios(*rows))
            file.flush()
            return ratio_plot.draw(ratio_plot.read_ratios(file.name))

    def pixels(self, image, color):
        """Columns with pixels of a colour, from left to right."""
        color = tuple(bytes.fromhex(color[1:]))
        return [x for x in range(image.width) if any(image.getpixel((x, y)) == color
                for y in range(ratio_plot.TOP, ratio_plot.TOP + ratio_plot.ROW))]

    def test_a_bar_begins_at_one_and_is_as_long_as_the_logarithm_of_the_ratio(self):
        win, loss = ratio_plot.SUBJECTS["classic"]
        double = self.draw(("read_1m_qd1", "zram", "classic", 2.0))
        half = self.draw(("read_1m_qd1", "zram", "classic", 0.5))
        for image, color, absent in ((double, win, loss), (half, loss, win)):
            columns = self.pixels(image, color)
            self.assertAlmostEqual(columns[-1] - columns[0], ratio_plot.OCTAVE, delta=1)
            self.assertEqual(self.pixels(image, absent), [])

    def test_what_is_not_in_the_file_is_not_drawn(self):
        one = self.draw(("read_1m_qd1", "zram", "classic", 2.0), ("unknown", "zram", "classic", 2.0))
        two = self.draw(("read_1m_qd1", "zram", "classic", 2.0), ("read_1m_qd1", "nbdkit", "uring", 2.0),
                        ("write_1m_qd1", "zram", "uring", 2.0))
        self.assertGreater(two.width, one.width)
        self.assertEqual(two.height, one.height + ratio_plot.ROW)
        self.assertRaises(ValueError, self.draw)

    def test_all_workloads_and_transports_of_the_benchmark_have_a_place(self):
        sys.path.append(os.path.join(SOURCE, "tests", "bench"))
        import bench_io
        self.assertEqual(set(ratio_plot.WORKLOADS), set(bench_io.RATIO_METRICS))
        self.assertEqual(set(ratio_plot.SUBJECTS), set(bench_io.SUBJECTS))

    def test_ratios_have_two_digits_at_least(self):
        self.assertEqual([ratio_plot.format_ratio(value) for value in (0.204, 1.236, 1.96, 9.94, 9.96, 42.9)],
                         ["0.20", "1.24", "2.0", "9.9", "10", "43"])


INTERFACE = """# What it is.
# In two lines. With a second sentence.
interface io.test

# A thing.
type Thing (
  # Its name, and
  # where it is.
  name: string,
  place: ?string,
  # .dot at the beginning
  kind: (one, two)
)

type Small (a: int, b: int)

# Makes one.
method Make(
  name: string,
  # Only if it is.
  force: ?bool
) -> (thing: Thing)

# It is there.
error Exists (name: string)
"""


class VarlinkPageTest(unittest.TestCase):
    def page(self, text):
        return "\n".join(varlink_page.page(varlink_page.Interface(text)))

    def test_every_method_type_error_and_field_is_on_the_page(self):
        page = self.page(INTERFACE)
        for line in (".Sh METHODS OF IO.TEST\nWhat it is.\nIn two lines.\nWith a second sentence.\n",
                     ".Ss Make\nMakes one.\n",
                     ".It Li name Po Li string Pc , Li place Po Li ?string Pc\nIts name, and where it is.\n",
                     ".It Li kind Po Li one, two Pc\n\\&.dot at the beginning\n", "type Small (a: int, b: int)\n",
                     "  force: ?bool\n) -> (thing: Thing)\n.Ed\n", ".It Li force Po Li ?bool Pc\nOnly if it is.\n",
                     ".Sh ERRORS OF IO.TEST\n.Ss Exists\nIt is there.\n"):
            self.assertIn(line, page + "\n")

    def test_what_is_not_understood_is_an_error(self):
        for wrong in (INTERFACE + "\nsomething else\n", INTERFACE.replace("  # Its name, and", "  # x\n  )"),
                      INTERFACE + "\n# of nothing\n", INTERFACE + "\ntype Open (\n", "type A (b: int)\n"):
            self.assertRaises(ValueError, self.page, wrong)


if __name__ == "__main__":
    unittest.main()
