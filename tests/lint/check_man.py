"""The manual page has each verb and option that --help has, and no other.

Run as `check_man.py VENVFS PAGE.scd`; prints one line a fault and exits 1 if there was one.
"""

import pathlib
import re
import subprocess
import sys

OPTION = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: (\S+))?", re.M)
IN_PAGE = re.compile(r"^(?:\*-(\w)\*, )?\*--([\w-]+)\*(?: (\S.*))?$", re.M)


def say(venvfs, *words):
    done = subprocess.run([venvfs, *words, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def verbs_in(text):
    part = text.split("\nverbs:\n")
    return re.findall(r"^  (\S+)", part[1].split("\n\n")[0], re.M) if len(part) > 1 else []


def all_verbs(venvfs, *words):
    """The words of every verb that has none below it."""
    below = verbs_in(say(venvfs, *words))
    return [v for verb in below for v in all_verbs(venvfs, *words, verb)] if below else [words]


def plain(text):
    return re.sub(r"[_*]", "", text or "")


def page_sections(page):
    found = {}
    for part in re.split(r"^## ", page.split("# VERBS\n")[1], flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        body = re.split(r"^# ", body, flags=re.M)[0]
        found[title] = {name: (letter, plain(argument)) for letter, name, argument in IN_PAGE.findall(body)}
    return found


def faults(venvfs, page):
    sections = page_sections(page)
    for words in all_verbs(venvfs):
        text = say(venvfs, *words)
        usage = text.splitlines()[0].removeprefix("usage: ")
        if usage not in sections:
            yield f"no section '## {usage}'"
            continue
        have = sections.pop(usage)
        want = {name: (letter, argument) for letter, name, argument in OPTION.findall(text) if name != "help"}
        for name in sorted(want.keys() | have.keys()):
            if want.get(name) != have.get(name):
                yield f"{usage}: --{name} is {want.get(name)} in --help and {have.get(name)} in the page"
    for title in sections:
        yield f"'## {title}' is of no verb"


def main(venvfs, page):
    found = list(faults(venvfs, pathlib.Path(page).read_text()))
    for fault in found:
        print(f"{page}: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
