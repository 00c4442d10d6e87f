"""The law of imports: which room, that is package, may import which.

What counts as an import is said in ``submission.local_modules``. What users start by its file's name, as in
``run_gravitar.py resume RUN``, is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from submission.local_modules import imports_in, module_of, strings_in
from tests.source_tree import ROOT, module_files, python_files

# From the ground up. A room imports from itself, from the rooms before it in its row, and from BASE.
BASE = ["common", "common.scores", "callbacks"]
RL = [
    "rl.named_classes", "rl.registration", "rl.wrappers",  # their names stand in YAML and in commands
    "rl.envs", "rl.buffers", "rl.algorithms", "rl.zoo", "rl.traces", "rl.exploration", "rl",
]  # fmt: skip
GEN_MODELS = [
    "gen_models", "gen_models.images", "gen_models.classifiers", "gen_models.style", "gen_models.diffusion",
    "gen_models.training", "gen_models.adversarial", "gen_models.colourisation", "gen_models.judging",
    "gen_models.figures", "gen_models.page", "gen_models.labelling", "gen_models.exported",
]  # fmt: skip
COMMANDS = "gen_models.commands"
RL_COMMANDS = "rl.commands"
SUBMISSION = [
    "submission.again", "submission.train_agent", "submission.train_images",  # programs that go into a submission
    "submission.edition", "submission.options",  # what all of them read
    "submission.checking", "submission.paper", "submission.audit", "submission",
]  # fmt: skip
PROGRAMS = ["run_gravitar", "run_pegasus", "run_pong", "run_walker"]


def storeys(rooms: Sequence[str], on: Sequence[str] = ()) -> dict[str, set[str]]:
    """Rooms above each other, the first of them on top of others, and what each may import."""
    return {room: {*on, *rooms[: floor + 1]} for floor, room in enumerate(rooms)}


LIBRARY = [*BASE, *RL, *GEN_MODELS, "tune"]  # what may be imported by those above it
MAY_IMPORT = {
    **storeys(BASE),
    **storeys([*RL, RL_COMMANDS], on=BASE),
    **storeys([*GEN_MODELS, COMMANDS], on=BASE),
    "tune": set(LIBRARY),
    **storeys(SUBMISSION, on=LIBRARY),
    "submission.train_images": {*LIBRARY, COMMANDS, "submission.again", "submission.train_images"},
    **{program: {*LIBRARY, COMMANDS, RL_COMMANDS} for program in PROGRAMS},
    "run_pegasus": {*LIBRARY, COMMANDS, *SUBMISSION},
    "bench": {*LIBRARY, COMMANDS, RL_COMMANDS, "bench"},
    "tests": {*LIBRARY, COMMANDS, RL_COMMANDS, *SUBMISSION, "bench", "tests"},
}
MOST_MODULES = 15  # in a room of rl/, gen_models/ or submission/


def room_of(module: str) -> str | None:
    """The room that a module is in; None for one that the law does not know."""
    return module_of(module, MAY_IMPORT)


def breaches(module: str, source: str, modules: Collection[str]) -> list[str]:
    """What a module imports against the law, in words.

    :param module: its full name
    :param modules: the full names of all modules of the project
    """
    room = room_of(module)
    if room is None:
        return [f"{module} is in no room that the law knows"]
    named = [*imports_in(source, module.rpartition(".")[0]), *strings_in(source)]
    found = sorted((line, other) for line, name in named if (other := module_of(name, modules)))
    return [f"{module}:{line} imports {other}" for line, other in found if room_of(other) not in MAY_IMPORT[room]]


MADE_UP = {
    "callbacks", "callbacks.scores", "common", "common.files", "gen_models", "gen_models.commands.judge",
    "gen_models.images.grids", "gen_models.images", "rl", "rl.envs", "rl.envs.game", "rl.train", "rl.traces",
    "rl.traces.worker", "rl.wrappers", "run_gravitar", "tune", "tune.search",
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        # By an import, a dotted import, an import in a function, a relative one.
        ("common.files", "import os\nfrom callbacks.scores import Scores", ["common.files:2 imports callbacks.scores"]),
        ("callbacks.scores", "from common import files", []),
        ("rl.envs.game", "import rl.train as t", ["rl.envs.game:1 imports rl.train"]),
        ("rl.envs.game", "def f():\n    from rl.traces import worker", ["rl.envs.game:2 imports rl.traces.worker"]),
        ("rl.envs.game", "from ..traces import worker", ["rl.envs.game:1 imports rl.traces.worker"]),
        ("rl.envs.game", "from ..train import train", ["rl.envs.game:1 imports rl.train"]),
        ("rl.traces.worker", "from ..envs.game import Game\nfrom . import other", []),
        ("rl.envs.game", "import rl", ["rl.envs.game:1 imports rl"]),
        ("rl.envs.game", "from rl.wrappers import RamBits", []),
        ("rl.wrappers", "import rl.envs", ["rl.wrappers:1 imports rl.envs"]),
        # Between the houses, and from above.
        ("rl.train", "from gen_models.images.grids import grid", ["rl.train:1 imports gen_models.images.grids"]),
        ("gen_models.images.grids", "import rl.envs", ["gen_models.images.grids:1 imports rl.envs"]),
        ("tune.search", "import rl.train, gen_models.images.grids", []),
        ("tune.search", "import gen_models.commands.judge", ["tune.search:1 imports gen_models.commands.judge"]),
        ("run_gravitar", "from tune.search import search\nimport gen_models.commands.judge", []),
        ("tests.test_x", "import run_gravitar\nimport tune.search", ["tests.test_x:1 imports run_gravitar"]),
        # By a string, also inside an f-string and among other words.
        ("callbacks.scores", "run(['-m', 'rl.traces.worker'])", ["callbacks.scores:1 imports rl.traces.worker"]),
        ("callbacks.scores", "x = f'python -m rl.train {y}'", ["callbacks.scores:1 imports rl.train"]),
        ("callbacks.scores", "x = 'common.files.new'", []),
        ("callbacks.scores", "x = 'run_gravitar.py resume, a/rl.train, rl, gymnasium.rl.train'", []),
        # Not by docstrings.
        ("callbacks.scores", "'''rl.train'''\nclass A:\n    '''rl.train'''\n    x: int\n    '''rl.train'''", []),
        ("elsewhere.build", "", ["elsewhere.build is in no room that the law knows"]),
    ],
)
def test_breaches_are_found(module: str, source: str, found: list[str]) -> None:
    assert breaches(module, source, MADE_UP) == found


def test_the_law_is_kept() -> None:
    modules = module_files()
    found = [line for name, path in modules.items() for line in breaches(name, path.read_text("utf-8"), modules)]
    assert not found, "\n".join(found)


def test_the_law_knows_every_room_and_no_other() -> None:
    modules = module_files()
    rooms = {name for name, path in modules.items() if path.name == "__init__.py" and not name.startswith("tests.")}
    assert rooms - MAY_IMPORT.keys() == set()
    assert MAY_IMPORT.keys() - modules.keys() == set()


def test_nothing_imports_the_peer_that_changes_other_libraries() -> None:
    # Importing rl_zoo3 patches gymnasium and NumPy, so it runs in a process of its own.
    for path in python_files():
        names = [name for _, name in imports_in(path.read_text("utf-8"), "")]
        assert not [name for name in names if name.split(".")[0] == "rl_zoo3"], path


def test_no_room_holds_more_than_one_can_keep_in_mind() -> None:
    files = [path.relative_to(ROOT) for path in module_files().values() if path.name != "__init__.py"]
    rooms = Counter(path.parent for path in files if path.parts[0] in ("rl", "gen_models", "submission"))
    assert rooms[Path("rl/envs")] > 1
    assert not {room: count for room, count in rooms.items() if count > MOST_MODULES}
