#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes zsd-varlink.7: varlink_page.py TEMPLATE INTERFACE... prints the template with what the interfaces' texts say.

The line "@INTERFACES@" of the template is replaced by sections for methods, types and errors of each INTERFACE, a file
in Varlink's definition language. A comment there belongs to what is below it; of fields it is for all that follow
without a comment of their own. What can't be understood is an error, so that nothing is left out.
"""

import itertools
import re
import sys

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
FIELD = re.compile(rf"({NAME}): (.+?),?$")
DECLARATION = re.compile(rf"(type|method|error) ({NAME}) ?(.*)$")
PLURALS = {"method": "METHODS", "type": "TYPES", "error": "ERRORS"}


class Declaration:
    """A method, type or error: its comment, its text without comments, and its fields in groups of one comment."""

    def __init__(self, kind, name, comment):
        self.kind = kind
        self.name = name
        self.comment = comment
        self.lines = []
        self.groups = []  # (comment, [(field, its type)])

    def add(self, line, comment):
        """A line of the text, and the comment above it."""
        self.lines.append(line)
        field = FIELD.match(line.strip())
        if comment and not field:
            raise ValueError(f"{self.name}: a comment above '{line}'")
        if field and (comment or not self.groups):
            self.groups.append((comment, []))
        if field:
            self.groups[-1][1].append(field.groups())


class Interface:
    def __init__(self, text):
        self.name = None
        self.comment = []
        self.declarations = []
        self._comment = []
        self._open = None  # the declaration that the next line belongs to
        for line in text.splitlines():
            self._take(line)
        if self.name is None or self._open or self._comment:
            raise ValueError("the text has no interface, or ends too early")

    def _take(self, line):
        if line.lstrip().startswith("#"):
            self._comment.append(line.lstrip().removeprefix("#").strip())
        elif line.startswith("interface "):
            self.name = line.split()[1]
            self.comment, self._comment = self._comment, []
        elif line:
            self._take_declaration(line)
        elif self._comment:
            raise ValueError(f"a comment that belongs to nothing: {self._comment[0]}")

    def _take_declaration(self, line):
        start = None if self._open else DECLARATION.match(line)
        if start:
            self._open = Declaration(start[1], start[2], self._comment)
            self.declarations.append(self._open)
            self._open.lines.append(line)
        elif self._open:
            self._open.add(line, self._comment)
        else:
            raise ValueError(f"not understood: {line}")
        self._comment = []
        if "\n".join(self._open.lines).count("(") == "\n".join(self._open.lines).count(")"):
            self._open = None


def escape(text):
    """Text of which nothing is markup."""
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[:1] in (".", "'") else text


def paragraphs(comment):
    """The lines of a comment; empty ones are breaks. Each sentence begins a line."""
    lines = []
    for part in "\n".join(comment).strip().split("\n\n") if comment else []:
        text = " ".join(part.split())
        lines += [".Pp"] * bool(lines) + [escape(line) for line in re.split(r"(?<=[.:]) (?=[A-Z])", text)]
    return lines


def literal(lines):
    return [".Bd -literal -offset indent", *(escape(line) for line in lines), ".Ed"]


def head(fields):
    """The words of a group of fields, each type once behind those that have it, as the head of a list's item."""
    parts = []
    for kind, group in itertools.groupby(fields, key=lambda field: field[1]):
        parts.append(f"Li {' , '.join(name for name, _ in group)} Po Li {kind.strip('()')} Pc")
    return ".It " + " , ".join(parts)


def field_list(declaration):
    """All fields of a type; of methods and errors those that have a comment, since their text is shown."""
    groups = [group for group in declaration.groups if group[0] or declaration.kind == "type"]
    lines = [".Bl -tag -width Ds"]
    for comment, fields in groups:
        lines += [head(fields), *paragraphs(comment)]
    return [*lines, ".El"] if groups else []


def section(declaration):
    """Of a type all is said by the list of its fields; of the others the text is shown, since it is the call."""
    fields = field_list(declaration)
    lines = [f".Ss {declaration.name}", *paragraphs(declaration.comment)]
    if declaration.kind != "type" or not fields:
        lines += literal(declaration.lines)
    return lines + fields


def page(interface):
    lines = []
    for kind, plural in PLURALS.items():
        declarations = [declaration for declaration in interface.declarations if declaration.kind == kind]
        if declarations:
            lines.append(f".Sh {plural} OF {interface.name.upper()}")
        if declarations and kind == "method":
            lines += paragraphs(interface.comment)
        for declaration in sorted(declarations, key=lambda declaration: declaration.name):
            lines += section(declaration)
    return lines


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    template, *interfaces = sys.argv[1:]
    lines = [line for path in interfaces for line in page(Interface(read(path)))]
    before, after = read(template).split("@INTERFACES@\n")
    sys.stdout.write(before + "\n".join(lines) + "\n" + after)


if __name__ == "__main__":
    main()
