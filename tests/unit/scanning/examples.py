"""The examples that rules carry, with their placeholders filled in.

`{h40}` stands for 40 random characters of the alphabet `h`; so the sources hold nothing that looks like a secret.
"""

from __future__ import annotations

import random
import re
import string

ALPHABETS = {
    "h": "0123456789abcdef",
    "a": string.ascii_letters + string.digits,
    "u": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "d": string.digits,
    "b": string.ascii_letters + string.digits + "-_",
    "v": string.ascii_uppercase + "234567",
}
_PLACEHOLDER = re.compile(r"\{([a-z])(\d{1,3})\}")


def filled(template: str, seed: int) -> str:
    """The template with random characters; the same ones for the same seed. Every run has a letter and a digit if its
    alphabet and length allow, and begins and ends with a letter or digit."""
    source = random.Random(seed)  # repeatable examples, no secrets

    def run(match: re.Match[str]) -> str:
        alphabet, size = ALPHABETS[match[1]], int(match[2])
        ends = [c for c in alphabet if c.isalnum()]
        characters = source.choices(alphabet, k=size)
        for place, kind in ((0, str.isalpha), (-1, str.isdigit)):
            characters[place] = source.choice([c for c in ends if kind(c)] or ends)
        return "".join(characters)

    return _PLACEHOLDER.sub(run, template)
