#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A strict reader of Prometheus' text format 0.0.4, and of the part of OpenMetrics that we write.

As a program it checks standard input, prints the number of samples, and fails with the first line that is wrong.
"""
import re
import sys

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
VALUE = re.compile(r"[+-]?(?:Inf|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)|NaN")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Wrong(Exception):
    pass


def unescape(text):
    return re.sub(r"\\.", lambda match: ESCAPES[match.group()], text)


def read_labels(text, position):
    """Reads {a="b",...} at position; answers the labels and what is behind them."""
    labels = {}
    if text[position:position + 1] != "{":
        return labels, position
    position += 1
    while text[position:position + 1] != "}":
        match = LABEL.match(text, position)
        if not match:
            raise Wrong("bad label")
        if match.group(1) in labels:
            raise Wrong("label twice")
        labels[match.group(1)] = unescape(match.group(2))
        position = match.end()
        if text[position:position + 1] == ",":
            position += 1
        elif text[position:position + 1] != "}":
            raise Wrong("neither ',' nor '}' behind a label")
    return labels, position + 1


class Reader:
    """families: {name: {"type", "help", "samples": [(name, labels, value)]}}"""

    def __init__(self, open_metrics=False):
        self.open_metrics = open_metrics
        self.families = {}
        self.current = None
        self.seen = set()
        self.ended = False

    def belongs(self, name):
        """True if a sample of this name is one of the current family."""
        family, kind = self.current, self.families[self.current]["type"]
        if kind == "histogram":
            return name in (family + "_bucket", family + "_sum", family + "_count")
        if kind == "counter":
            return name == (family + "_total" if self.open_metrics else family) and name.endswith("_total")
        return name == family

    def take_comment(self, line):
        match = re.fullmatch(r"# (HELP|TYPE) ([^ ]+) (.+)", line)
        if not match or not NAME.fullmatch(match.group(2)):
            raise Wrong("neither HELP nor TYPE of a name")
        kind, name, text = match.groups()
        if kind == "HELP":
            if name in self.families:
                raise Wrong("family twice")
            self.families[name] = {"help": text, "type": None, "samples": []}
            self.current = name
        elif name != self.current or self.families[name]["type"]:
            raise Wrong("TYPE without its HELP")
        elif text not in TYPES:
            raise Wrong("unknown type")
        else:
            self.families[name]["type"] = text

    def take_sample(self, line):
        match = NAME.match(line)
        if not match:
            raise Wrong("no name")
        name = match.group()
        labels, position = read_labels(line, match.end())
        if line[position:position + 1] != " " or not VALUE.fullmatch(line[position + 1:]):
            raise Wrong("not one blank and one value")
        if not self.current or not self.families[self.current]["type"] or not self.belongs(name):
            raise Wrong("sample outside of its family")
        key = (name, tuple(sorted(labels.items())))
        if key in self.seen:
            raise Wrong("sample twice")
        self.seen.add(key)
        value = float(line[position + 1:])
        if self.families[self.current]["type"] == "counter" and value < 0:
            raise Wrong("negative counter")
        self.families[self.current]["samples"].append((name, labels, value))

    def check_histograms(self):
        for family, content in self.families.items():
            if content["type"] != "histogram":
                continue
            series = {}
            for name, labels, value in content["samples"]:
                key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
                part = series.setdefault(key, {"buckets": []})
                if name.endswith("_bucket"):
                    part["buckets"].append((float(labels["le"].replace("Inf", "inf")), value))
                else:
                    part[name[len(family):]] = value
            for key, part in series.items():
                ends = [end for end, _ in part["buckets"]]
                counts = [count for _, count in part["buckets"]]
                if ends != sorted(ends) or counts != sorted(counts) or ends[-1] != float("inf"):
                    raise Wrong("%s%s: buckets are not in order" % (family, key))
                if part["_count"] != counts[-1] or part["_sum"] < 0:
                    raise Wrong("%s%s: count is not that of all buckets" % (family, key))

    def read(self, text):
        if not text.endswith("\n"):
            raise Wrong("no newline at the end")
        for number, line in enumerate(text[:-1].split("\n"), 1):
            try:
                if self.ended:
                    raise Wrong("behind # EOF")
                if self.open_metrics and line == "# EOF":
                    self.ended = True
                elif line.startswith("#"):
                    self.take_comment(line)
                else:
                    self.take_sample(line)
            except Wrong as wrong:
                raise Wrong("line %d: %s: %s" % (number, wrong, line))
        if self.open_metrics and not self.ended:
            raise Wrong("no # EOF")
        self.check_histograms()
        return self.families


def samples(families):
    """{(name, labels as sorted pairs): value}"""
    return {(name, tuple(sorted(labels.items()))): value
            for family in families.values() for name, labels, value in family["samples"]}


def main():
    reader = Reader(open_metrics="--openmetrics" in sys.argv)
    try:
        reader.read(sys.stdin.buffer.read().decode())
    except (Wrong, UnicodeDecodeError) as wrong:
        sys.exit("prometheus.py: %s" % wrong)
    print(len(reader.seen))


if __name__ == "__main__":
    main()
