"""What a problem's `model` and `train` sections say."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fairlead.errors import ConfigurationError, nearest
from fairlead.sections import Section
from fairlead.training.train_pod import TrainPod

FIXED_KEYS = frozenset(  # they decide where and how training runs, not what it learns
    {
        "recipe", "options", "seed", "deterministic", "precision", "device", "threads", "processes", "strategy",
        "nodes", "pod",
        "accumulate", "memory_gib", "save_every_seconds", "keep_snapshots", "budget",
    }
)  # fmt: skip


class ModelSpec(Section):
    """What the model predicts, and which columns it sees.

    Attributes:
        task: What kind of label it predicts: 0 or 1; one of several classes; a number; how relevant a row is among the
            rows of its group.
        categorical: Columns of text or whole numbers that name something; their vocabularies are the training rows'.
        numeric: Columns of numbers.
        image: A column of PNG or JPEG files, all of one size; empty for none.
        group: Of a ranking task: the column that says which rows are ranked against each other; no input of the model.
    """

    task: Literal["binary", "multiclass", "regression", "ranking"] = "binary"
    categorical: list[str] = []
    numeric: list[str] = []
    image: str = ""
    group: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.columns:
            raise ValueError("the model has no inputs; name at least one column under categorical, numeric or image")
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            raise ValueError(f"columns named twice: {', '.join(twice)}; name each input once")
        if self.task == "ranking" and not self.group:
            raise ValueError("task ranking needs group: the column that says which rows are ranked against each other")
        if self.group and self.task != "ranking":
            raise ValueError(f"group {self.group!r} means nothing for task {self.task}; it belongs to task ranking")
        return self

    @property
    def columns(self) -> list[str]:
        """All input columns: the categorical ones, the numeric ones, the image."""
        return [*self.categorical, *self.numeric, *([self.image] if self.image else [])]


class BudgetSpec(Section):
    """What a training may use; one that uses more fails. What is not named has no limit.

    Attributes:
        seconds: Of training, over all attempts; training stops as soon as it is reached.
        cost: In the currency of the prices; what time costs stops training as soon as it is reached.
        kilowatt_hours: Of energy, as it was measured.
        price_per_hour: Of one machine; it enters `cost`.
        price_per_kilowatt_hour: Of energy; it enters `cost`.
        country: Whose electricity it is, as ISO 3166-1 alpha-3 code; it decides the grams of CO2 that are reported.
    """

    seconds: float | None = Field(default=None, gt=0)
    cost: float | None = Field(default=None, gt=0)
    kilowatt_hours: float | None = Field(default=None, gt=0)
    price_per_hour: float = Field(default=0, ge=0)
    price_per_kilowatt_hour: float = Field(default=0, ge=0)
    country: str = Field(default="DEU", pattern="^[A-Z]{3}$")


class TrainSpec(Section):
    """How the model is trained.

    Attributes:
        recipe: A name from `fairlead.training.recipes.registry`, or `my_module:MyRecipe`.
        options: What only this recipe knows, such as `hidden` and `dropout` of tabular-network.
        epochs: Passes over the training rows, at most.
        batch_size: Rows of one step of the optimiser, over all processes and parts.
        learning_rate: The highest learning rate.
        schedule: How it falls after the warm-up: cosine and linear to 2 % of it, constant not at all.
        warm_up: The share of the steps over which it rises.
        weight_decay: Decoupled weight decay (AdamW).
        clip_norm: Gradients of a larger Euclidean norm are scaled down to it; None leaves them alone.
        accumulate: Parts in which each process computes its share of a step, to save memory.
        memory_gib: Search for the fewest parts (from `accumulate` on) with which a process stays below so much memory.
        patience: Epochs without a better validation figure after which training, or its phase, stops.
        seed: Of everything that is random; the same seed gives the same weights, bit by bit.
        deterministic: Refuse operations that are not deterministic.
        precision: Of the arithmetic; bf16 and fp16 keep weights in fp32 (fp16 with a gradient scaler, on a GPU only).
        device: Where to compute; auto takes a GPU where there is one.
        threads: CPU threads; where None the recipe takes what pays: one for a small network, all cores for a large one.
        processes: Of each node, started by torchrun.
        nodes: Pods of a TrainJob, where the cluster has Kubeflow Trainer; elsewhere this machine stands for all of them
            and runs nodes x processes processes.
        strategy: What the processes share: ddp nothing; zero2 optimiser state and gradients; fsdp the weights as well.
        save_every_seconds: Between snapshots from which a killed training goes on; 0 takes one after every step.
        keep_snapshots: How many of them are kept.
        budget: What training may use.
        pod: In a cluster: how each node's pod runs.
    """

    recipe: str = "tabular-network"
    options: dict[str, Any] = {}
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=1024, ge=1)
    learning_rate: float = Field(default=0.003, gt=0, allow_inf_nan=False)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.0001, ge=0, allow_inf_nan=False)
    clip_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    accumulate: int = Field(default=1, ge=1)
    memory_gib: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    patience: int = Field(default=2, ge=1)
    seed: int = Field(default=7, ge=0, lt=2**32)
    deterministic: bool = True
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Literal["auto", "cpu", "gpu"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    processes: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    strategy: Literal["ddp", "zero2", "fsdp"] = "ddp"
    save_every_seconds: float = Field(default=30, ge=0, allow_inf_nan=False)
    keep_snapshots: int = Field(default=2, ge=1)
    budget: BudgetSpec = BudgetSpec()
    pod: TrainPod = TrainPod()

    @property
    def world(self) -> int:
        """The processes of all nodes together."""
        return self.nodes * self.processes

    @model_validator(mode="before")
    @classmethod
    def _point_to_options(cls, values: Any) -> Any:
        """A recipe's option that stands one level too high gets an error that says so."""
        unknown = set(values) - set(cls.model_fields) if isinstance(values, Mapping) else set()
        if unknown:
            known = set(_options_of(str(values.get("recipe", cls.model_fields["recipe"].default))).model_fields)
            if unknown & known:
                names = ", ".join(sorted(unknown & known))
                raise ValueError(f"{names} is an option of the recipe; write it under train.options")
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.accumulate * self.world > self.batch_size:
            raise ValueError(
                f"accumulate {self.accumulate} x processes {self.world} cut a step into more parts than "
                f"batch_size {self.batch_size} has rows; lower one, or raise batch_size"
            )
        misplaced = sorted(set(self.options) & set(type(self).model_fields))
        if misplaced:
            raise ValueError(f"{', '.join(misplaced)} belongs to train, not to train.options; move it up one level")
        return self

    def with_hyperparameters(self, values: Mapping[str, Any]) -> Self:
        """Gives a copy with other hyperparameters.

        Args:
            values: Keys of this section that may be tuned, or of the recipe's options. A text stands for the JSON value
                that it spells, because Katib's search spaces hold only texts: `"[128, 64]"`.

        Returns:
            The copy.

        Raises:
            ConfigurationError: A key is neither or may not be tuned, or a value is not allowed.
        """
        if not values:
            return self
        for name in values:
            if name not in self.tunable():
                raise ConfigurationError(f"hyperparameter {name!r} cannot be tuned; {nearest(name, self.tunable())}")
        plain = {name: _from_text(value) for name, value in values.items()}
        own = {name: value for name, value in plain.items() if name in type(self).model_fields}
        options = {**self.options, **{name: value for name, value in plain.items() if name not in own}}
        _options_of(self.recipe).parse(options, "train.options")
        return type(self).parse({**self.model_dump(), **own, "options": options}, where="train")

    def tunable(self) -> list[str]:
        """The keys that a search may change: this section's, and those of the recipe's options.

        Raises:
            ConfigurationError: There is no such recipe.
        """
        return sorted((set(type(self).model_fields) - FIXED_KEYS) | set(_options_of(self.recipe).model_fields))


def _options_of(recipe: str) -> type[Section]:
    from fairlead.training.recipes.registry import find_recipe

    return find_recipe(recipe).options


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
