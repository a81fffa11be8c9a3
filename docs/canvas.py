# SPDX-License-Identifier: LGPL-2.1-or-later
"""What both pictures are drawn with: a font of fixed width, and PNG files that are the same for the same pixels."""

from PIL import Image, ImageDraw, ImageFont

FONTS = "/usr/share/fonts/truetype/dejavu"  # Debian: fonts-dejavu-core


def font(size, bold=False):
    return ImageFont.truetype(f"{FONTS}/DejaVuSansMono{'-Bold' if bold else ''}.ttf", size)


def canvas(width, height, background):
    image = Image.new("RGB", (width, height), background)
    return image, ImageDraw.Draw(image)


def save(image, path):
    """No time and no program's name is in the file."""
    image.save(path, "PNG", optimize=True)
