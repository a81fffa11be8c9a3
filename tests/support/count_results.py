#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the results in meson's testlog.json: prints "PASSED FAILED SKIPPED", and why tests were skipped on stderr."""

import json
import sys


def main():
    passed = failed = skipped = 0
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            if test["result"] in ("OK", "EXPECTEDFAIL"):
                passed += 1
            elif test["result"] == "SKIP":
                skipped += 1
                output = (test.get("stdout") or "") + (test.get("stderr") or "")
                reason = output.strip().splitlines()[-1:] or ["no reason given"]
                print(f"skipped: {test['name']}: {reason[0]}", file=sys.stderr)
            else:
                failed += 1
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
