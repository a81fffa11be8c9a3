# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the text of a Varlink interface, and says what of a reply is not as it tells: a member that it does not know,
one that is missing, or one of another type."""
import re

TOKEN = re.compile(r"(?:\s|#[^\n]*\n)*(\[\]|\[string\]|->|[A-Za-z][\w.]*|[?(),:])")
BASE = {"bool": bool, "int": int, "float": float, "string": str, "object": dict}


class Wrong(Exception):
    pass


class Interface:
    """types: {name: type}, methods: {name: (type of the parameters, type of the reply)}

    A type is ("?", type), ("[]", type), ("[string]", type), ("enum", [word]), ("struct", {name: type}), or a name."""

    def __init__(self, text):
        self.tokens = TOKEN.findall(text)
        self.types, self.methods, self.errors = {}, {}, {}
        self._take("interface")
        self.name = self._next()
        while self.tokens:
            self._read_declaration(self._next(), self._next())

    def _next(self):
        return self.tokens.pop(0)

    def _take(self, expected):
        token = self._next()
        if token != expected:
            raise Wrong(f"'{token}' where '{expected}' should be")

    def _read_declaration(self, kind, name):
        if kind == "method":
            parameters = self._read_type()
            self._take("->")
            self.methods[name] = (parameters, self._read_type())
        else:
            {"type": self.types, "error": self.errors}[kind][name] = self._read_type()

    def _read_type(self):
        token = self._next()
        if token in ("?", "[]", "[string]"):
            return (token, self._read_type())
        if token != "(":
            return token
        if self.tokens[1] == ":" or self.tokens[0] == ")":
            return ("struct", self._read_members())
        return ("enum", list(self._read_members()))

    def _read_members(self):
        """{name: type}, of an enumeration {word: None}."""
        members = {}
        while self.tokens[0] != ")":
            name = self._next()
            members[name] = None
            if self.tokens[0] == ":":
                self._next()
                members[name] = self._read_type()
            if self.tokens[0] == ",":
                self._next()
        self._next()
        return members

    def check(self, where, kind, value):
        """Raises Wrong. Numbers are of one type always: 2.0 is no int, and 2 no float."""
        if isinstance(kind, str) and kind not in BASE:
            kind = self.types[kind]
        if isinstance(kind, str):
            if type(value) is not BASE[kind]:
                raise Wrong(f"{where} is {value!r}, not of type {kind}")
        elif kind[0] == "?":
            self.check(where, kind[1], value)
        elif kind[0] == "enum":
            if value not in kind[1]:
                raise Wrong(f"{where} is {value!r}, not one of {kind[1]}")
        elif kind[0] == "[]":
            self._check_container(where, list, value)
            for member in value:
                self.check(where + "[]", kind[1], member)
        elif kind[0] == "[string]":
            self._check_container(where, dict, value)
            for member in value.values():
                self.check(where + "[]", kind[1], member)
        else:
            self._check_struct(where, kind[1], value)

    @staticmethod
    def _check_container(where, kind, value):
        if type(value) is not kind:
            raise Wrong(f"{where} is {value!r}")

    def _check_struct(self, where, members, value):
        self._check_container(where, dict, value)
        for name in value.keys() - members.keys():
            raise Wrong(f"{where}.{name} is not in the interface")
        for name, kind in members.items():
            if name in value:
                self.check(f"{where}.{name}", kind, value[name])
            elif kind[0] != "?":
                raise Wrong(f"{where}.{name} is missing")
