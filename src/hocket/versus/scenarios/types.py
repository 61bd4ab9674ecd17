"""Ten mistakes in types: how many of them each tool chain finds, and when."""

from __future__ import annotations

from hocket.versus import mistakes
from hocket.versus.scenario import ALL, Contest, Measure, Scenario, Values


def types(contest: Contest) -> Values:
    """How many are found when; each mistake's own number, as an index of `mistakes.WHEN`, too."""
    when = mistakes.LANGUAGES[contest.key](contest.maker)
    found: Values = {
        "build": when.count(mistakes.BUILD),
        "running": when.count(mistakes.START) + when.count(mistakes.REQUEST),
        "never": when.count(mistakes.NEVER),
    }
    return found | {f"m{at}": mistakes.WHEN.index(each) for at, each in enumerate(when)}


TYPES = Scenario(
    name="types",
    title="Ten mistakes in types",
    question="When does the tool chain find a mistake: before the program runs, when the code is "
    "reached, or never?",
    measures={
        "build": Measure("found before the program runs, of ten", "", "more", 0),
        "running": Measure("found when the code is reached", "", "less", 0),
        "never": Measure("never found: the program goes on with a wrong value", "", "less", 0),
    },
    run=types,
    repeats=1,
    columns=(*ALL, "ts"),
    says="Go: go vet and go build. Node.js: JavaScript as it runs; TypeScript: tsc --strict with "
    "noUncheckedIndexedAccess. Python and Hocket: mypy --strict, with pydantic and msgspec for "
    "what clients send.",
)
