# SPDX-License-Identifier: LGPL-2.1-or-later
"""The model of size classes: what the compressed sizes of a corpus take with other geometries.

A class is (size, pages, objects): objects of up to size bytes, header included, in zspages of so many pages. All of
them are for blocks of 4 KiB.
"""

import array
import bisect
import collections

PAGE_BYTES = 4096
SIZE_MIN = 32
STEP = 16  # between classes, bytes: the kernel's; ours at least
OUR_HEADER_BYTES = 12
OUR_RAW_CLASS = (PAGE_BYTES + OUR_HEADER_BYTES, 65, 64)
OUR_SPACING, OUR_LENGTH = 64, 16  # what geometry.c has
KERNEL_HEADER_BYTES = 8


def load_sizes(path, nr=0):
    """How many objects of each size the trace has."""
    sizes = array.array("H")
    with open(path, "rb") as file:
        sizes.frombytes(file.read())
    return collections.Counter(sizes[:nr] if nr else sizes)


def _our_class(size, length):
    """As shape_for() of geometry.c."""
    best = None
    for pages in range(1, length + 1):
        objects = pages * PAGE_BYTES // size
        if objects:
            loss = (pages * PAGE_BYTES - objects * size) / objects / size + pages / 1024
            if best is None or loss < best[0]:
                best = (loss, pages, objects)
    _, pages, objects = best
    return (pages * PAGE_BYTES // objects // 4 * 4, pages, objects)


def our_classes(spacing, length):
    """Classes 1/spacing apart, zspages of at most length pages; ascending."""
    classes = [OUR_RAW_CLASS]
    size = PAGE_BYTES
    while size > SIZE_MIN:
        shape = _our_class(size, length)
        if shape[0] < classes[-1][0]:
            classes.append(shape)
        size = (size - max(size // spacing, STEP)) // 4 * 4
    if classes[-1][0] > SIZE_MIN:
        classes.append(_our_class(SIZE_MIN, length))
    return classes[::-1]


def kernel_classes(length):
    """zsmalloc's: calculate_zspage_chain_size() and can_merge() of mm/zsmalloc.c."""
    classes = []
    for size in range(PAGE_BYTES, SIZE_MIN - 1, -STEP):
        pages = 1
        if size & (size - 1):
            pages = min(range(1, length + 1), key=lambda count: (count * PAGE_BYTES % size, count))
        shape = (size, pages, pages * PAGE_BYTES // size)
        if not classes or classes[-1][1:] != shape[1:]:
            classes.append(shape)
    return classes[::-1]


def overhead(sizes, classes, header, huge=None):
    """
    Pages above payload, as parts of it: with the last, partly filled zspage of each class, and without, as in a pool
    that is infinitely large. huge: objects above this size, with their header, are raw blocks in pages of their own.
    """
    limits = [shape[0] for shape in classes]
    counts = [0] * len(classes)
    payload = 0
    for size, count in sizes.items():
        raw = huge is not None and size + header > huge
        counts[len(classes) - 1 if raw else bisect.bisect_left(limits, size + header)] += count
        payload += (PAGE_BYTES if raw else size) * count
    pages = sum(-(-count // shape[2]) * shape[1] for count, shape in zip(counts, classes))
    bulk = sum(count / shape[2] * shape[1] for count, shape in zip(counts, classes))
    return pages * PAGE_BYTES / payload - 1, bulk * PAGE_BYTES / payload - 1


def kernel_overhead(sizes, length):
    classes = kernel_classes(length)
    # Objects of a class with one object in a page are stored without a header, and zram makes raw blocks of them.
    huge = max(size for size, pages, objects in classes if (pages, objects) != (1, 1))
    return overhead(sizes, classes, KERNEL_HEADER_BYTES, huge)


def our_overhead(sizes, spacing, length):
    return overhead(sizes, our_classes(spacing, length), OUR_HEADER_BYTES)
