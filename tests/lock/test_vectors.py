"""Versions, markers, requirements and tags are judged as the `packaging` project judges them."""

import os
import pathlib
import random
import subprocess

from make_vectors import chosen, questions, same_requirement
from support import BINARY

DRIVER = os.environ.get("LOCK_DRIVER") or str(pathlib.Path(BINARY).parents[1] / "tests/lock/lock_driver")


def ask(lines):
    done = subprocess.run([DRIVER, "vectors"], input="\n".join(lines) + "\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Not splitlines(), which cuts at more than line breaks.
    return done.stdout.split("\n")[:-1]


def differing(pairs):
    pairs = list(pairs)
    answers = ask([question for question, _ in pairs])
    assert len(answers) == len(pairs)
    wrong = []
    for (question, expected), answer in zip(pairs, answers):
        same = same_requirement(expected, answer) if question.startswith("requirement\t") else expected == answer
        if not same:
            wrong.append((question, str(expected), answer))
    return wrong


def test_what_was_thought_of():
    assert differing(chosen()) == []


def test_what_is_drawn_anew_each_time():
    seed = random.randrange(1 << 32)
    wrong = differing(questions(random.Random(seed), 6000))
    assert wrong == [], f"seed {seed}"
