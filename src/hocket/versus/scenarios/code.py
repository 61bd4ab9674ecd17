"""How much one writes for it: lines, different words, and packages of others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hocket.versus.making import Maker
from hocket.versus.scenario import RENAMED, Contest, Measure, Scenario, Values

PROGRAMS = ("hello", "chat", "cpu", "io", "files")
COMMENT = re.compile(
    r'"""(?:.|\n)*?"""|/\*(?:.|\n)*?\*/|(?<![:"\'\w])//.*$|(?<!["\'&])#(?!!).*$', re.MULTILINE
)
TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`')
WORD = re.compile(r"[A-Za-z_]\w*")
NOT_THE_IDEA = re.compile(r"pauses|serving|__name__")  # what the measurement asks for
IMPORTS = {
    "go": re.compile(r'^\s*(?:import )?(?:\w+ )?"([^"]+)"$', re.MULTILINE),
    "node": re.compile(r'from "([^"]+)"'),
    "python": re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE),
    "hocket": re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE),
}


def source(maker: Maker, key: str, program: str) -> Path:
    name = RENAMED.get((key, program), program)
    below = {"go": f"{name}/main.go", "node": f"{name}.mjs"}.get(key, f"{name}.py")
    return maker.sources(key) / below


def lines(code: str) -> int:
    """Without blank ones, comments, and what only the measurement asks for."""
    kept = COMMENT.sub("", code).splitlines()
    return sum(1 for line in kept if line.strip() and not NOT_THE_IDEA.search(line))


def words(code: str) -> int:
    """Different keywords and names; a rough measure of what one has to know."""
    return len(set(WORD.findall(TEXT.sub("", COMMENT.sub("", code)))))


def third_party(key: str, code: str, local: set[str]) -> set[str]:
    """Packages that come from a registry."""
    found = set(IMPORTS[key].findall(code))
    if key == "go":
        return {name for name in found if "." in name.partition("/")[0]}
    if key == "node":
        return {name for name in found if not name.startswith(("node:", "."))}
    tops = {name.partition(".")[0] for name in found}
    return tops - set(sys.stdlib_module_names) - local


def code(contest: Contest) -> Values:
    folder = contest.maker.sources(contest.key)
    local = {path.stem for path in folder.glob("*.py")}
    found: Values = {"packages": 0}
    for program in PROGRAMS:
        text = source(contest.maker, contest.key, program).read_text()
        found[program] = lines(text)
        found["packages"] += bool(third_party(contest.key, text, local))
        if program == "chat":
            found["chat_words"] = words(text)
    return found


CODE = Scenario(
    name="code",
    title="How much one writes",
    question="How many lines does each program take, and how many different words?",
    measures={
        "hello": Measure("a page: lines", digits=0, least=2),
        "chat": Measure("the chat: lines", digits=0, least=2),
        "chat_words": Measure("the chat: different names and keywords", digits=0, least=3),
        "cpu": Measure("work beside waiting: lines", digits=0, least=2),
        "io": Measure("database and service: lines", digits=0, least=2),
        "files": Measure("upload and download: lines", digits=0, least=2),
        "packages": Measure("of these five programs need a package of others", digits=0),
    },
    run=code,
    repeats=1,
    quick={},
    says="The programs that were measured, without blank lines, comments, and what only the "
    "measurement asks of them. Hocket itself counts as a package of others.",
)
