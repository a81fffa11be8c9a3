# SPDX-License-Identifier: LGPL-2.1-or-later
# The commands in README.md's blocks, for tests that type them. -v who=root, user or service: those of blocks without a
# comment before them, behind "<!-- as an ordinary user -->", behind "<!-- with systemd -->".
/^<!-- as an ordinary user -->/ { next_one = "user"; next }
/^<!-- with systemd -->/ { next_one = "service"; next }
/^```sh$/ { inside = 1; next }
/^```/ { if (inside) next_one = ""; inside = 0; next }
inside && (next_one ? next_one : "root") == who { print }
