"""An offline store that holds nothing, for processes that only read features online.

Feast imports the offline store that its configuration names, and with DuckDB that is 90 MB of libraries for historical
joins, which no server makes. Feast has no store that does nothing.
"""

from typing import Any, Literal

from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel

NAME = f"{__name__}.AbsentOfflineStore"


class AbsentOfflineStoreConfig(FeastConfigBaseModel):
    """What Feast keeps of the store's configuration."""

    type: Literal["fairlead_serving.offline.AbsentOfflineStore"] = "fairlead_serving.offline.AbsentOfflineStore"


class AbsentOfflineStore(OfflineStore):
    """Refuses everything."""

    @staticmethod
    def get_historical_features(*_: Any, **__: Any) -> Any:
        """Refuses."""
        raise RuntimeError("a server reads features online only")

    @staticmethod
    def pull_latest_from_table_or_query(*_: Any, **__: Any) -> Any:
        """Refuses."""
        raise RuntimeError("a server reads features online only")

    @staticmethod
    def pull_all_from_table_or_query(*_: Any, **__: Any) -> Any:
        """Refuses."""
        raise RuntimeError("a server reads features online only")
