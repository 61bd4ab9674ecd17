"""`hocket run module:app`: your own app."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hocket.app import App
from hocket.cli.flags import add_settings, given
from hocket.errors import UsageError
from hocket.instance.foreground import run as run_instance
from hocket.instance.signals import is_watched
from hocket.settings import load


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="run your own app",
        description="Run your own app: `hocket run main:app` runs `app` of main.py in this folder.",
    )
    parser.add_argument("app", metavar="MODULE:APP", help="where the App is, such as main:app")
    parser.add_argument(
        "--reload",
        action="store_true",
        help="for development: start anew whenever a Python file below this folder changes",
    )
    add_settings(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("the folder in which this was started is not there any more") from None
    if args.reload:
        from hocket.cli.watching import watch  # lazy: only development needs it

        given(args)  # what is wrong with them is said once
        words = [word for word in sys.argv[1:] if word != "--reload"]
        watch([sys.executable, "-m", "hocket", *words])
    else:
        is_watched()  # and what the app starts is not
        app = find_app(args.app)
        run_instance(app, load(app.given, given(args)))


def find_app(name: str) -> App:
    """The App that `module:app` names; raises UsageError with what is wrong about it."""
    module_name, colon, attribute = name.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        right = f"{Path(module_name).stem}:{attribute or 'app'}"
        raise UsageError(f"{name!r} is a file: in its folder, name the module, as in {right}")
    if not module_name or not colon or not attribute:
        raise UsageError(f"{name!r} is not of the form module:app, such as main:app")
    sys.path.insert(0, str(Path.cwd()))
    found: Any = _import(module_name)
    apps = _apps_in(found)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"module {module_name!r} has no {attribute!r}; its Apps are: {apps}")
        found = getattr(found, part)
    if not isinstance(found, App):
        raise UsageError(f"{name} is a {type(found).__name__}, not a hocket.App")
    return found


def _import(name: str) -> Any:
    serve, App.runner = App.runner, _refuse_to_run
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(
                f"there is no module {name!r} in this folder or among the installed packages"
            ) from None
        raise UsageError(_failure(name, error)) from None
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(_failure(name, error)) from None
    finally:
        App.runner = serve


def _refuse_to_run(app: App, flags: Mapping[str, Any]) -> None:
    """It would serve before there is an app to find, with other settings, and then again."""
    raise UsageError(
        "the module calls app.run() while it is imported: put that under "
        '`if __name__ == "__main__":`, or start it with `python`'
    )


def _failure(name: str, error: Exception) -> str:
    if isinstance(error, SyntaxError):  # says itself where
        return f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
    where = _where(traceback.extract_tb(error.__traceback__))
    place = f"{Path(where.filename).name}, line {where.lineno}"
    return f"module {name!r} cannot be imported: {type(error).__name__}: {error} ({place})"


def _where(frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary:
    """The last line of the user's own: what it called, a package maybe, is not at fault."""
    own = [frame for frame in frames if _is_own(Path(frame.filename), Path.cwd())]
    return (own or frames)[-1]


def _is_own(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder) and "site-packages" not in file.parts


def _apps_in(module: Any) -> str:
    return (
        ", ".join(
            name
            for name, value in getattr(module, "__dict__", {}).items()
            if isinstance(value, App)
        )
        or "none"
    )
