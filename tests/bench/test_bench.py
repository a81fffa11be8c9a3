# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the benchmark's own parts: test_bench.py LOAD, where LOAD is the load generator."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import nuisances
from bench_cold import pages_split
from report import Report, format_number, format_table

LOAD = sys.argv.pop(1) if len(sys.argv) > 1 else "load"
CHUNK = 1 << 20


def filled_report():
    report = Report()
    for subject, samples in (("zsd", (3, 1, 2)), ("peer", (8, 4, 4)), ("zero", (0, 0, 0))):
        for sample in samples:
            report.add("speed", "GB/s", subject, sample)
    return report


class ColdTest(unittest.TestCase):
    def test_fio_reads_as_many_bytes_by_reads_of_one_and_of_two_pages(self):
        self.assertEqual(pages_split(1000, 1000 * 4096), 0)
        self.assertEqual(pages_split(1000, 250 * 4096 + 750 * 8192), 75)
        self.assertEqual(pages_split(1000, 1000 * 12288), 100)


class NuisancesTest(unittest.TestCase):
    """Windows of 1,000 latencies each, whose p99 is theirs to say: 1 to 1,000, times something."""

    @staticmethod
    def windows(factors):
        return [[(value * factor, 1) for value in range(1, 1001)] for factor in factors]

    def test_turns_are_taken_in_both_orders(self):
        self.assertEqual([nuisances.turn(number, "zon") for number in range(8)], list("zonnozzo"))

    def test_a_p99_is_that_of_all_windows_together(self):
        windows = self.windows((1, 1, 3))
        axis = nuisances.tail_axis(windows)
        together = sorted(value for window in windows for value, _ in window)
        measured = nuisances.p99([nuisances.Distribution(window, axis) for window in windows], axis)
        self.assertAlmostEqual(measured / together[len(together) * 99 // 100], 1, delta=0.02)

    def test_the_interval_holds_the_ratio_and_is_as_narrow_as_the_windows_agree(self):
        results = []
        for ours in ((1.1, 1.1) * 50, (0.6, 1.6) * 50):
            windows = [self.windows(factors) for factors in (ours, (1,) * 100)]
            axis = nuisances.tail_axis(windows[0] + windows[1])
            lists = [[nuisances.Distribution(window, axis) for window in one] for one in windows]
            results.append(nuisances.ratio_interval(*lists, axis))
        for ratio, low, high in results:
            self.assertLessEqual(low, ratio)
            self.assertLessEqual(ratio, high)
        self.assertAlmostEqual(results[0][0], 1.1, delta=0.02)
        self.assertLess(results[0][2] - results[0][1], results[1][2] - results[1][1])

    def test_windows_go_to_whose_turn_it_was_and_late_ones_to_nobody(self):
        # Windows 7 to 18; each has as many latencies as its number.
        result = {"first": 7, "latencies": [[(1000, number)] for number in range(7, 19)]}
        windows, _ = nuisances.sort_windows(result, {13}, ["zsd", "none"])
        totals = {name: [window.total for window in list_] for name, list_ in windows.items()}
        # From 8 on, as 7 is the second of its round; 12 and 13 are a round, and 18 has no other.
        self.assertEqual(totals, {"zsd": [8, 11, 15, 16], "none": [9, 10, 14, 17]})


class ReportTest(unittest.TestCase):
    def test_a_row_has_median_and_extremes(self):
        self.assertEqual(
            filled_report().rows()[0],
            {"metric": "speed", "unit": "GB/s", "subject": "zsd", "value": 2, "min": 1, "max": 3},
        )

    def test_a_ratio_is_ours_divided_by_the_peers(self):
        self.assertEqual(filled_report().ratios(["speed"]), [
            {"metric": "speed", "subject": "zsd", "peer": "peer", "ratio": 0.5}])

    def test_each_of_ours_has_its_own_ratios_and_may_have_its_own_peer(self):
        report = Report(("slow", "fast"))
        for subject, value in (("slow", 2), ("fast", 6), ("limit", 8), ("limit-fast", 12), ("other", 1)):
            report.add("speed", "GB/s", subject, value)
        self.assertEqual(
            [(row["subject"], row["peer"], row["ratio"]) for row in report.ratios(["speed"])],
            [("slow", "limit", 0.25), ("slow", "other", 2), ("slow", "best-limit", 2 / 12),
             ("fast", "limit", 0.5), ("fast", "other", 6), ("fast", "best-limit", 0.5)],
        )

    def test_rounds_are_compared_with_their_neighbours(self):
        report = Report()
        for noise in (1, 10, 3):
            report.add("p99", "us", "zsd", 1.1 * noise)
            report.add("p99", "us", "other", noise)
        self.assertEqual(["1.10"] * 3, [f"{ratio:.2f}" for ratio in report.paired("p99", "other")])
        self.assertIsNone(report.paired("p99", "none"))

    def test_there_is_no_ratio_without_both_sides(self):
        report = Report()
        report.add("speed", "GB/s", "peer", 1)
        self.assertEqual(report.ratios(["speed", "unknown"]), [])

    def test_the_file_holds_rows_and_ratios(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "new", "io.json")
            filled_report().write(path, ["speed"])
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
        self.assertEqual(sorted(content), ["ratios", "rows"])
        self.assertEqual(len(content["rows"]), 3)

    def test_a_missing_subject_is_a_dash(self):
        self.assertEqual(filled_report().table(["speed"], ["zsd", "absent"]).split()[-2:], ["[1-3]", "-"])

    def test_numbers_keep_three_digits(self):
        numbers = (0, 1.23456, 12.3456, 123.456, 1234.5, 12345, 123456, 1234567890)
        self.assertEqual(
            [format_number(number) for number in numbers],
            ["0", "1.235", "12.3", "123", "1234", "12.3k", "123k", "1235M"],
        )

    def test_columns_are_aligned(self):
        self.assertEqual(format_table([["", "a"], ["long", "1"], ["x", "234"]]), "        a\nlong    1\nx     234")


class LoadTest(unittest.TestCase):
    """On a file: what one run wrote, another reads back, and no wrong byte escapes it."""

    def setUp(self):
        # Beside the program, not in /tmp: tmpfs takes no O_DIRECT before Linux 6.6.
        self.directory = tempfile.TemporaryDirectory(dir=os.path.dirname(LOAD), prefix="test_bench.")
        self.addCleanup(self.directory.cleanup)
        self.corpus = os.path.join(self.directory.name, "corpus")
        self.disk = os.path.join(self.directory.name, "disk")
        with open(self.corpus, "wb") as file:
            file.write(os.urandom(7 * CHUNK))
        with open(self.disk, "wb") as file:
            file.truncate(7 * CHUNK)

    def load(self, mode, *options, path=None):
        return subprocess.run(
            [LOAD, "--corpus", self.corpus, "--path", path or self.disk, "--mode", mode, *options], timeout=60,
            capture_output=True, text=True,
        )

    def test_a_filled_file_holds_every_chunk_of_the_corpus_once(self):
        self.assertEqual(self.load("fill", "--depth", "8").returncode, 0)
        with open(self.corpus, "rb") as corpus, open(self.disk, "rb") as disk:
            expected = sorted(corpus.read(CHUNK) for _ in range(7))
            self.assertEqual(sorted(disk.read(CHUNK) for _ in range(7)), expected)

    def test_verify_accepts_what_fill_wrote_at_any_block_size_and_depth(self):
        for options in ((), ("--depth", "8"), ("--block", "4096"), ("--block", "65536", "--depth", "3")):
            self.assertEqual(self.load("fill", *options).returncode, 0)
            self.assertEqual(self.load("verify", *options).returncode, 0)

    def test_verify_finds_one_wrong_byte(self):
        self.load("fill")
        with open(self.disk, "r+b") as file:
            file.seek(5 * CHUNK - 1)
            byte = file.read(1)
            file.seek(5 * CHUNK - 1)
            file.write(bytes([byte[0] ^ 1]))
        for depth in ("1", "8"):
            done = self.load("verify", "--depth", depth)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"at {4 * CHUNK}: not the content", done.stderr)

    def test_a_pass_is_counted_as_a_whole(self):
        result = json.loads(self.load("fill", "--depth", "4").stdout)
        self.assertEqual((result["ops"], result["ops_all"], result["bytes"]), (7, 7, 7 * CHUNK))

    def test_a_timed_run_lasts_as_long_as_asked_and_reports_its_rate(self):
        result = json.loads(self.load("randread", "--block", "4096", "--depth", "2", "--jobs", "2", "--ramp", "0.5",
                                      "--seconds", "0.5").stdout)
        self.assertGreaterEqual(result["seconds"], 0.4)
        self.assertLess(result["ops"], result["ops_all"])
        self.assertAlmostEqual(result["bytes_per_second"], result["ops_per_second"] * 4096, delta=4096)
        self.assertLessEqual(result["latency_p50_ns"], result["latency_p99_ns"])
        self.assertLessEqual(result["latency_p99_ns"], result["latency_max_ns"])

    def windows(self, *options):
        """Answers the windows, how many latencies they hold, and how many there were."""
        result = json.loads(self.load("randread", "--block", "4096", "--jobs", "2", "--ramp", "0.1", "--seconds", "0.6",
                                      "--window", "0.05", *options).stdout)
        windows = result["windows"]["latencies"]
        return windows, sum(count for window in windows for _, count in window), result["ops_all"]

    def test_windows_hold_what_began_in_them_but_for_their_start(self):
        # Where the processor is somebody else's all the time there is nothing to count.
        for _ in range(20):
            windows, counted, everything = self.windows()
            self.assertIn(len(windows), (11, 12))
            self.assertLessEqual(counted, everything)
            if counted:
                break
        self.assertGreater(counted, 0)
        _, counted, everything = self.windows("--settle", "0.04999999")
        self.assertLess(counted, everything / 2)

    def test_jobs_take_the_paths_in_turn(self):
        other = os.path.join(self.directory.name, "other")
        with open(other, "wb") as file:
            file.truncate(7 * CHUNK)
        result = json.loads(self.load("fill", "--path", other).stdout)
        self.assertEqual(result["ops"], 14)
        for path in (self.disk, other):
            self.assertEqual(self.load("verify", path=path).returncode, 0)

    def test_one_job_spreads_over_all_paths(self):
        others = [os.path.join(self.directory.name, f"other{number}") for number in range(20)]
        options = []
        for other in others:
            with open(other, "wb") as file:
                file.truncate(CHUNK)
            options += ["--path", other]
        result = json.loads(self.load("randwrite", *options[2:], "--spread", "--region", str(CHUNK), "--block", "65536",
                                      "--depth", "4", "--ramp", "0.3", path=others[0]).stdout)
        self.assertGreater(result["ops"], 0)
        for other in others:
            with open(other, "rb") as file:
                self.assertTrue(any(file.read()), other)

    def test_a_mixed_load_writes_some_blocks_and_leaves_others(self):
        # How much is written in such a short time depends on who else wants the processor.
        for _ in range(50):
            self.load("fill")
            with open(self.disk, "rb") as file:
                before = file.read()
            self.load("mixed", "--block", "65536", "--ramp", "0", "--seconds", "0.005")
            with open(self.disk, "rb") as file:
                after = file.read()
            changed = sum(before[at:at + 65536] != after[at:at + 65536] for at in range(0, len(before), 65536))
            if 0 < changed < len(before) // 65536:
                return
        self.fail(f"{changed} blocks were written")

    def test_a_file_that_is_too_short_is_an_error(self):
        os.truncate(self.disk, CHUNK)
        self.assertEqual(self.load("verify").returncode, 1)
        self.assertEqual(self.load("fill", path=os.path.join(self.directory.name, "absent")).returncode, 1)

    def test_bad_options_are_usage_errors(self):
        for options in (("--block", "0"), ("--block", "4097"), ("--depth", "0"), ("--depth", "257"), ("--jobs", "17"),
                        ("--region", "1"), ("--seconds", "0"), ("--seconds", "x"), ("--seed", "-1"), ("--spread",),
                        ("--window", "0"), ("--settle", "1"), ("--window", "0.1", "--settle", "0.1"),
                        ("--window", "0.00001"),
                        ("extra",)):
            self.assertEqual(self.load("seqread", *options).returncode, 2, options)
        self.assertEqual(self.load("nonsense").returncode, 2)


if __name__ == "__main__":
    unittest.main()
