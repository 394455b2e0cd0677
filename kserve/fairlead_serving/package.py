"""Model packages: what is trained offline, evaluated, and served, read by one implementation.

A package is a folder that MLflow reads as an ONNX model, plus `fairlead/package.json`. It holds data only, no code.
Its identity is the digest of its contents.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead_serving.identity import PackageInvalidError, package_digest
from fairlead_serving.images import read_images
from fairlead_serving.inputs import InputInvalidError
from fairlead_serving.query import Matrix

__all__ = ["InputInvalidError", "Manifest", "ModelInput", "ModelPackage", "PackageInvalidError", "package_digest"]

if TYPE_CHECKING:
    import onnxruntime as ort

FORMAT = 1
MANIFEST = "fairlead/package.json"
MODEL = "model.onnx"
MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
KINDS = ("numeric", "categorical", "image")
OUTPUTS = {"binary": "probability", "multiclass": "probability", "regression": "prediction", "ranking": "score"}
"""The tasks, and the output of each: `probability` is (N,) for binary and (N, K) for multiclass; the others (N,)."""

Columns = Mapping[str, "Sequence[Any] | np.ndarray"]


@dataclass(frozen=True)
class ModelInput:
    """One input column of a model.

    Attributes:
        name: The column's name.
        kind: `numeric`, `categorical` or `image`.
        vocabulary: The known values of a categorical column, in the order of their codes.
        shape: Height, width and channels (1 grey, 3 RGB) of an image, in pixels.
    """

    name: str
    kind: str
    vocabulary: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The input's part of package.json."""
        words = {"vocabulary": list(self.vocabulary)} if self.kind == "categorical" else {}
        return {"name": self.name, "kind": self.kind, **words, **({"shape": list(self.shape)} if self.shape else {})}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelInput":
        """Reads the input's part of package.json.

        Raises:
            KeyError: The name or the kind is missing.
            ValueError: The kind is none that this version knows.
        """
        if content["kind"] not in KINDS:
            raise ValueError(f"input kind {content['kind']!r}; this version knows {', '.join(KINDS)}")
        words, shape = tuple(content.get("vocabulary", ())), tuple(int(n) for n in content.get("shape", ()))
        return cls(content["name"], content["kind"], words, shape)


@dataclass(frozen=True)
class Manifest:
    """What a package is: `fairlead/package.json`.

    Attributes:
        name: The model's name.
        task: A key of `OUTPUTS`.
        label: The column that it predicts.
        inputs: The model's inputs, in order.
        threshold: The probability from which the prediction is `true`.
        outputs: The names of the outputs.
        classes: Of a multiclass model: the K values of the label, in the order of the probabilities.
        request: How a request becomes inputs (fields, prediction_time, derive, feature_service, freshness), or None
            where a request holds the inputs themselves.
        checks: What is declared of the values in requests, by field; see `fairlead_serving.checks`.
    """

    name: str
    task: str
    label: str
    inputs: tuple[ModelInput, ...]
    threshold: float = 0.5
    outputs: tuple[str, ...] = ("probability",)
    classes: tuple[str, ...] = ()
    request: Mapping[str, Any] | None = None
    checks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def numeric(self) -> tuple[ModelInput, ...]:
        """The numeric inputs, in order."""
        return tuple(i for i in self.inputs if i.kind == "numeric")

    @property
    def categorical(self) -> tuple[ModelInput, ...]:
        """The categorical inputs, in order."""
        return tuple(i for i in self.inputs if i.kind == "categorical")

    @property
    def images(self) -> tuple[ModelInput, ...]:
        """The image inputs, in order."""
        return tuple(i for i in self.inputs if i.kind == "image")

    def to_json(self) -> dict[str, Any]:
        """The content of package.json."""
        inputs = [i.to_json() for i in self.inputs]
        optional: dict[str, Any] = {"classes": list(self.classes)} if self.classes else {}
        optional |= {"checks": dict(self.checks)} if self.checks else {}
        return {
            "format": FORMAT, "name": self.name, "task": self.task, "label": self.label, "inputs": inputs,
            "threshold": self.threshold, "outputs": list(self.outputs), **optional, "request": self.request,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Manifest":
        """Reads the content of package.json.

        Raises:
            PackageInvalidError: A key is missing, or the format is another one.
        """
        if content.get("format") != FORMAT:
            raise PackageInvalidError(f"package format {content.get('format')!r}; this version reads format {FORMAT}")
        try:
            return cls(
                name=content["name"], task=_known_task(content["task"]), label=content["label"],
                inputs=tuple(ModelInput.from_json(i) for i in content["inputs"]),
                threshold=float(content["threshold"]), outputs=tuple(content["outputs"]),
                classes=tuple(content.get("classes", ())), request=content["request"],
                checks=dict(content.get("checks", {})),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise PackageInvalidError(f"{MANIFEST} lacks or garbles {error}; export the model again") from None


def _known_task(task: str) -> str:
    if task not in OUTPUTS:
        raise ValueError(f"task {task!r}; this version knows {', '.join(OUTPUTS)}")
    return task


@dataclass
class ModelPackage:
    """An opened package: predicts from columns.

    Attributes:
        path: Its folder.
        digest: Its identity.
        manifest: What it is.
    """

    path: Path
    digest: str
    manifest: Manifest
    threads: int = 1
    _session: "ort.InferenceSession | None" = field(default=None, repr=False)
    _codes: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path | str, expected_digest: str | None = None, *, threads: int = 1) -> "ModelPackage":
        """Opens a package and checks that it is the one that is meant.

        Args:
            path: The package's folder.
            expected_digest: The digest that it must have; not checked where None.
            threads: Threads of one prediction inside ONNX Runtime.

        Returns:
            The package; its ONNX session is made at the first prediction or by `load`.

        Raises:
            PackageInvalidError: It is incomplete, of another format, or has another digest.
        """
        root, digest = Path(path), package_digest(path)
        if expected_digest not in (None, digest):
            raise PackageInvalidError(f"package {path} has digest {digest}, expected {expected_digest}: it was changed")
        try:
            manifest = Manifest.from_json(json.loads((root / MANIFEST).read_text()))
        except (OSError, ValueError) as error:
            raise PackageInvalidError(f"package {path} cannot be read: {error}; export the model again") from None
        if not (root / MODEL).is_file():
            raise PackageInvalidError(f"package {path} has no {MODEL}; export the model again")
        codes = {i.name: {v: n + FIRST_KNOWN for n, v in enumerate(i.vocabulary)} for i in manifest.categorical}
        return cls(root, digest, manifest, threads, None, codes)

    def load(self) -> "ort.InferenceSession":
        """Makes the ONNX Runtime session once, and gives it."""
        if self._session is None:
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
            options.log_severity_level = 3
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._session = ort.InferenceSession(str(self.path / MODEL), options, providers=["CPUExecutionProvider"])
        return self._session

    def encode(self, columns: Columns) -> dict[str, np.ndarray]:
        """Turns columns into the tensors of the ONNX graph.

        Args:
            columns: Every input of the manifest by name, each of length N; None and NaN are missing values.

        Returns:
            `numeric` float32 (N, F) and `categorical` int64 (N, C), one that would have no columns is left out; each
            image under its own name, uint8 (N, height, width, channels).

        Raises:
            InputInvalidError: A column is absent, of another length, holds what is no number, or no such image.
        """
        if isinstance(columns, Matrix):
            return {"numeric": columns.array}
        absent = [i.name for i in self.manifest.inputs if i.name not in columns]
        if absent:
            raise InputInvalidError(f"missing inputs: {', '.join(absent)}; the model takes {self._names()}")
        lengths = {len(columns[i.name]) for i in self.manifest.inputs}
        if len(lengths) != 1:
            raise InputInvalidError(f"inputs of different lengths: {sorted(lengths)}; give one value per row in each")
        tensors = {}
        if self.manifest.numeric:
            numbers = [_numbers(i.name, columns[i.name]) for i in self.manifest.numeric]
            tensors["numeric"] = np.stack(numbers, axis=1)  # (N, F)
        if self.manifest.categorical:
            codes = [self._encode_categories(i.name, columns[i.name]) for i in self.manifest.categorical]
            tensors["categorical"] = np.stack(codes, axis=1)  # (N, C)
        for image in self.manifest.images:
            tensors[image.name] = read_images(image.name, columns[image.name], image.shape)  # (N, H, W, channels)
        return tensors

    def predict(self, columns: Columns) -> dict[str, np.ndarray]:
        """Predicts.

        Args:
            columns: Every input of the manifest by name, each of length N.

        Returns:
            The outputs by name, float32: see `OUTPUTS`.

        Raises:
            InputInvalidError: The columns do not fit.
        """
        outputs = self.load().run(list(self.manifest.outputs), self.encode(columns))
        return dict(zip(self.manifest.outputs, outputs, strict=True))

    def _encode_categories(self, name: str, values: "Sequence[Any] | np.ndarray") -> np.ndarray:
        known = self._codes[name]
        return np.fromiter(
            (MISSING if v is None or v != v else known.get(str(v), UNKNOWN) for v in values),  # noqa: PLR0124 (NaN)
            dtype=np.int64,
            count=len(values),
        )

    def _names(self) -> str:
        return ", ".join(i.name for i in self.manifest.inputs)


def _numbers(name: str, values: "Sequence[Any] | np.ndarray") -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float32)  # None becomes NaN
    except (TypeError, ValueError):
        raise InputInvalidError(f"input {name!r} must be numbers or null") from None
    if array.ndim != 1:
        raise InputInvalidError(f"input {name!r} must have one value per row, got shape {list(array.shape)}")
    return array
