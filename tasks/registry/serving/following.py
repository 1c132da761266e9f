"""Which version answers now, and the watch that puts a new champion in its place.

A request takes one look at `Champion.current` when it arrives and keeps what it found. A new champion
is fetched, verified and tried beside the one that answers; then one reference changes. So nothing
waits for a promotion, and no request is answered by two versions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tasks.errors import ModelyardError, RegistryConflict, quoted
from tasks.registry.serving.model import Served

SECONDS = 2.0
"""Between two looks at the alias; a look costs a few milliseconds."""
LONGEST = 30.0
"""Between two looks while something is wrong: the pause doubles up to here."""


class Champion:
    """The version that answers.

    Attributes:
        current: What a request that arrives now is answered by; replaced whole, never changed.
        problem: Why `current` may not be the present champion, or None.
    """

    def __init__(
        self,
        first: Served,
        ask: Callable[[], int | None],
        load: Callable[[int], Served],
        say: Callable[[str], None],
    ) -> None:
        """Begins with `first`.

        Args:
            first: What answers at the beginning.
            ask: The number of the present champion, None where the alias is gone.
            load: A version that can answer, given its number.
            say: Tells the operator one line.
        """
        self.current = first
        self.problem: str | None = None
        self._seen: int | None = first.known.version
        self._ask, self._load, self._say = ask, load, say
        self._trouble: object = None

    def follow(self, stop: threading.Event, every: float = SECONDS) -> None:
        """Looks again and again until `stop` is set."""
        pause = every
        while not stop.wait(pause):
            self.look()
            pause = every if self.problem is None else min(2 * pause, LONGEST)

    def look(self) -> None:
        """Takes the present champion if it is another one; whatever goes wrong, somebody answers."""
        number = self._seen
        try:
            number = self._ask()
            self._take(number)
        except ModelyardError as error:
            self._complain((number, type(error)), str(error))
        except Exception as error:  # the thread must live; what can't be loaded must not answer
            self._complain((number, type(error)), f"{type(error).__name__}: {quoted(str(error))}")
        else:
            if self.problem is not None:
                self._say(f"all is well again: version {self.current.known.version} is the champion")
            self.problem = self._trouble = None

    def _take(self, number: int | None) -> None:
        if number is None:
            self._seen = None  # what bears the alias next is loaded anew, even under the same number
            raise RegistryConflict(
                f"model {quoted(self.current.known.name)} has no champion any more",
                fix="promote a version",
            )
        if number != self._seen:
            self.current = self._load(number)
            self._say(f"version {number} is the champion now, and answers")
        self._seen = number

    def _complain(self, trouble: object, problem: str) -> None:
        """Says what is wrong, once: the next look would find the same."""
        self.problem = problem
        if trouble != self._trouble:
            self._say(f"{problem}; meanwhile version {self.current.known.version} answers")
        self._trouble = trouble
