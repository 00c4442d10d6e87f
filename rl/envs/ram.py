"""Where two games keep what happens in them: the bytes of the Atari's RAM, by name.

Offsets count from 0, as ALE's ``getRAM`` does (the console's addresses are 0x80 higher). Numbers in BCD have two
decimal digits a byte, the first byte counts most.

Gravitar's table was found by probing: what a byte shows was compared with the screen and with ALE's reward and lives,
over games of random actions. Tests hold score and lives to ALE's over whole games, and fuel to never growing away from
a planet. Montezuma's Revenge is documented elsewhere.

Credits: A. Anand et al. 2019 (arXiv 1906.08226, the Atari Annotated RAM Interface) for Montezuma's Revenge;
A. Ecoffet et al. 2021 (arXiv 2004.12919) for room and inventory as what counts there.
"""

from __future__ import annotations

# Gravitar.
SCREEN = 1
SOLAR_SYSTEM, PLANET, REACTOR, SAUCER_DUEL = 2, 3, 4, 5  # values of SCREEN; 1 is the end of a game
PLACE = 2  # the planet, 0 to 3 in the first solar system, 4 and on in the next; 128 in between and in a reactor
PLANETS_LEFT = 3  # one bit each
LIVES = 4  # less one
SCORE = slice(7, 10)  # BCD
FUEL = slice(10, 13)  # BCD
X, Y = 30, 32  # of the ship
VELOCITY_Y, VELOCITY_X = 39, 42  # low byte of a signed 16-bit number, the high byte follows
ANGLE = 35  # 0 to 15
OBJECTS = slice(58, 64)  # of a planet; 140 for one that is destroyed

# Montezuma's Revenge.
ROOM = 3
MONTEZUMA_X, MONTEZUMA_Y = 42, 43
MONTEZUMA_SCORE = slice(19, 22)  # BCD
LEVEL = 57
MONTEZUMA_LIVES = 58  # spare ones
INVENTORY = 65  # one bit an item


def bcd(digits: bytes) -> int:
    """The number in binary-coded decimal."""
    value = 0
    for byte in digits:
        value = 100 * value + 10 * (byte >> 4) + (byte & 15)
    return value
