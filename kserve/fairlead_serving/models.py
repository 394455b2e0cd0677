"""The models of one process: which are served, which are being loaded, and why one is not.

A model is a package under a name, pinned by its digest. Loading another digest under a name puts it in the place of the
old one at the moment when it is ready; the old one answers until then, and finishes what it has begun.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kserve.model_repository import ModelRepository

from fairlead_serving.errors import NotServedError, OverloadedError, RequestInvalidError, ServingError, StartupError
from fairlead_serving.families import Families
from fairlead_serving.metrics import short
from fairlead_serving.package import MANIFEST, ModelPackage, PackageInvalidError, package_digest

if TYPE_CHECKING:
    from fairlead_serving.model import FairleadModel

IDLE_LOOK_SECONDS, LONGEST_SECONDS = 0.05, 120.0
READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSource:
    """A model that is to be served.

    Attributes:
        name: The name under which it is served.
        package: The package's folder.
        digest: The digest that the package must have.
    """

    name: str
    package: Path
    digest: str


@dataclass
class State:
    """What is known of a model.

    Attributes:
        name: Its name.
        version: The short digest.
        state: READY, LOADING or UNAVAILABLE.
        reason: Why it is unavailable.
    """

    name: str
    version: str
    state: str
    reason: str = ""


class Models(ModelRepository):  # type: ignore[misc] # kserve is untyped
    """The models of one process.

    Args:
        make: Makes a served model of an opened package; not loaded yet.
        finish: Loads it, in a thread; raises StartupError or ServingError.
        families: The process's metric families.
        repository: The folder of packages that clients may have loaded; None where they may not.
        most: The most models at a time.
    """

    def __init__(
        self, make: "Callable[[str, ModelPackage], FairleadModel]", finish: "Callable[[FairleadModel], None]",
        families: Families, repository: Path | None = None, most: int = 64,
    ) -> None:  # fmt: skip
        super().__init__()
        self._make, self._finish, self._families = make, finish, families
        self.repository, self._most = repository, most
        self._listeners: list[Callable[[], None]] = []
        self._states: dict[str, State] = {}
        self._loading, self._retiring = asyncio.Lock(), set[asyncio.Task[None]]()

    @property
    def served(self) -> "list[FairleadModel]":
        """The models, those included that are being loaded for the first time."""
        return list(self.models.values())

    @property
    def only(self) -> "FairleadModel | None":
        """The model, where there is one only."""
        return self.served[0] if len(self.models) == 1 else None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Has a function called now, and whenever a model has come or gone."""
        self._listeners.append(listener)
        listener()

    def count_other(self, status: int) -> None:
        """Counts a request that was for no model."""
        self._families.other.labels(str(status)).inc()

    def find(self, name: str) -> "FairleadModel":
        """The model of that name.

        Raises:
            NotServedError: There is none.
        """
        model: FairleadModel | None = self.models.get(name)
        if model is None:
            known = ", ".join(repr(other) for other in self.models) or "none"
            raise NotServedError(f"no model {name[:80]!r}; here is {known}")
        return model

    def check_version(self, model: "FairleadModel", version: str) -> None:
        """Checks that a version is the one that is served.

        Raises:
            NotServedError: It is another.
        """
        if version not in ("", model.version):
            raise NotServedError(f"model {model.name!r} has no version {version[:80]!r}; here is {model.version!r}")

    def index(self) -> list[State]:
        """What is known of all models."""
        states = {model.name: State(model.name, model.version, READY if model.ready else LOADING)
                  for model in self.served}  # fmt: skip
        return [*states.values(), *(state for name, state in self._states.items() if name not in states)]

    def open(self, source: ModelSource) -> None:
        """Adds a model that is not loaded yet; it is not ready until `load_all`.

        Raises:
            PackageInvalidError: Its package has another digest or is damaged.
        """
        self._put(self._make(source.name, ModelPackage.open(source.package, expected_digest=source.digest)))

    def load_all(self) -> None:
        """Loads what was opened, in this thread.

        Raises:
            StartupError: One cannot be loaded.
        """
        for model in self.served:
            try:
                self._finish(model)
            except (StartupError, ServingError) as error:
                raise StartupError(f"model {model.name!r}: {error}" if len(self.models) > 1 else str(error)) from error

    async def load_from_repository(self, name: str, digest: str) -> "FairleadModel":
        """Loads a package of the repository under a name; in place of another digest of that name, if there is one.

        Raises:
            NotServedError: There is no repository, or no package of that digest in it.
            RequestInvalidError: The package cannot be served.
            OverloadedError: There are as many models as may be.
        """
        if self.repository is None:
            raise NotServedError(
                "one process serves one version for its whole life, unless it is started with --repository DIR"
            )
        async with self._loading:
            old = self.models.get(name)
            if old is not None and old.package.digest == digest and old.ready:
                return old  # type: ignore[no-any-return] # kserve is untyped
            if old is None and len(self.models) >= self._most:
                raise OverloadedError(f"{len(self.models)} models are loaded already; unload one first")
            self._states[name] = State(name, short(digest), LOADING)
            try:
                model = await asyncio.get_running_loop().run_in_executor(None, self._load, name, digest)
            except ServingError as error:
                self._states[name] = State(name, short(digest), UNAVAILABLE, str(error))
                self._forget_failures()
                raise
            self._states.pop(name, None)
            self._put(model)
            if old is not None:
                self._retire(old)
            logger.info("loaded %s, %s", name, digest)
            return model

    def unload(self, name: str, digest: str | None = None) -> None:
        """Unloads a model; what it has begun is finished.

        Raises:
            NotServedError: There is no such model, or no repository.
            RequestInvalidError: It has another digest.
        """
        if self.repository is None:
            raise NotServedError(
                "one process serves one version for its whole life, unless it is started with --repository DIR"
            )
        model = self.find(name)
        if digest not in (None, model.package.digest):
            raise RequestInvalidError(f"model {name!r} has the digest {model.package.digest}, not {digest}")
        del self.models[name]
        self._change()
        self._retire(model)
        logger.info("unloaded %s, %s", name, model.package.digest)

    def _load(self, name: str, digest: str) -> "FairleadModel":
        """Finds, verifies, opens and loads; in a thread."""
        try:
            model = self._make(name, ModelPackage.open(self._find_package(digest), expected_digest=digest))
        except (PackageInvalidError, StartupError) as error:
            raise RequestInvalidError(str(error)) from None
        try:
            self._finish(model)
        except (StartupError, ServingError) as error:
            model.close()
            raise RequestInvalidError(str(error)) from None
        return model

    def _find_package(self, digest: str) -> Path:
        """The folder of the repository whose content has the digest; it is computed, not read off a name."""
        folders = sorted(path.parents[1] for path in (self.repository or Path()).glob(f"**/{MANIFEST}"))
        wanted = digest.removeprefix("sha256:")
        for folder in sorted(folders, key=lambda path: path.name not in (wanted, short(digest), digest)):
            if package_digest(folder) == digest:
                return folder
        raise NotServedError(f"none of the {len(folders)} packages of the repository has the digest {digest}")

    def _put(self, model: "FairleadModel") -> None:
        self.models[model.name] = model
        self._change()

    def _change(self) -> None:
        for listener in self._listeners:
            listener()

    def _retire(self, model: "FairleadModel") -> None:
        task = asyncio.create_task(_close_when_idle(model))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _forget_failures(self) -> None:
        """Keeps the latest failures only: names come from clients."""
        while len(self._states) > self._most:
            del self._states[next(iter(self._states))]


async def _close_when_idle(model: "FairleadModel") -> None:
    """Lets go of a model when what it has begun is finished; nothing new can reach it."""
    end = time.monotonic() + LONGEST_SECONDS
    while (model.metrics.in_flight or model.metrics.waiting()) and time.monotonic() < end:  # noqa: ASYNC110 - requests have no time to set events
        await asyncio.sleep(IDLE_LOOK_SECONDS)
    model.stop()
    await asyncio.get_running_loop().run_in_executor(None, model.close)
