"""Asks the stores what tasks ask of them: to list, write, read and remove an object, to answer, to let one in.

`fairlead doctor --cluster` asks from this machine; with --deep from a pod with the environment of a task as well:

    python -m fairlead_pipelines.command.probes    prints one finding a line, as JSON
"""

import importlib.util
import json
import logging
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

from fairlead.errors import FairleadError
from fairlead.settings import Settings, settings
from fairlead_pipelines.command.checks import Check

_SECONDS = 5.0
_OK = 400  # statuses below it
_MODEL_REGISTRY = "model-registry+"


def probe(place: Settings) -> Iterator[Check]:
    """Yields what each store that the settings name answers.

    Args:
        place: The settings.
    """
    if place.object_store:
        yield probe_objects(place)
    if place.redis.get_secret_value():
        yield probe_redis(place.redis.get_secret_value())
    if place.registry_uri.startswith(("http", _MODEL_REGISTRY)):
        yield probe_registry(place)
    if place.prometheus_uri:
        yield _page("metrics", f"{place.prometheus_uri.rstrip('/')}/-/ready", "Prometheus")


def probe_objects(place: Settings) -> Check:
    """Writes, lists, reads and removes a small object below the object store's address.

    Args:
        place: The settings: `object_store`, `s3_endpoint`.
    """
    from fairlead.objects import Objects

    where = f"{place.object_store} at {place.s3_endpoint}"
    folder = f"{place.object_store.rstrip('/')}/doctor/{uuid.uuid4().hex}"
    uri = f"{folder}/probe"
    said = b"fairlead doctor"
    try:
        store = Objects.connect(place)
        store.write_bytes(uri, said)
        listed = [stored.uri for stored in store.list(folder)]
        read = store.read_bytes(uri)
        store.remove(uri)
    except FairleadError as error:
        return Check("object store", "bad", f"{where}: {error}", _bucket(place))
    if listed != [uri] or read != said:
        return Check("object store", "bad", f"{where} takes objects and does not give them back", _bucket(place))
    return Check("object store", "good", f"{where}: objects can be written, listed, read and removed")


def _bucket(place: Settings) -> str:
    bucket = place.object_store.removeprefix("s3://").partition("/")[0]
    return f"aws --endpoint-url {place.s3_endpoint} s3api create-bucket --bucket {bucket}"


def probe_redis(address: str) -> Check:
    """Asks Redis for a sign of life, with the password of the connection string.

    Args:
        address: As Feast writes it: HOST:PORT[,ssl=true,password=…].
    """
    from fairlead_pipelines.command.checks import install

    title = "online store"
    if importlib.util.find_spec("redis") is None:
        return Check(title, "warn", "not asked: the package redis is not installed here", install("redis"))
    import redis

    place, *options = address.split(",")
    host, _, port = place.partition(":")
    given = dict(option.partition("=")[::2] for option in options)
    client = redis.Redis(
        host, int(port or 6379), password=given.get("password"), username=given.get("username"),
        ssl=given.get("ssl") == "true", ssl_ca_certs=given.get("ssl_ca_certs"),
        socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS,
    )  # fmt: skip
    try:
        client.ping()
    except redis.AuthenticationError as error:
        mend = "fairlead doctor --cluster --deep  # then compare FAIRLEAD_REDIS with users.acl of Secret fairlead-redis"
        return Check(title, "bad", f"Redis at {place} refuses the password ({error})", mend)
    except (redis.RedisError, OSError) as error:
        return Check(title, "bad", f"Redis at {place} does not answer: {error}", f"redis-cli -h {host} -p {port} ping")
    finally:
        client.close()
    return Check(title, "good", f"Redis at {place} answers")


def probe_registry(place: Settings) -> Check:
    """Asks the registry's server whether it is there and lets this user in.

    Args:
        place: The settings: `registry_uri` and its token.
    """
    try:
        token = place.read_registry_token()
    except FairleadError as error:
        return Check("registry", "bad", str(error))
    uri = place.registry_uri.removeprefix(_MODEL_REGISTRY).rstrip("/")
    if place.registry_uri.startswith(_MODEL_REGISTRY):
        path = "/api/model_registry/v1/registered_models?pageSize=1"
    else:
        path = "/api/2.0/mlflow/registered-models/search?max_results=1"
    return _page("registry", uri + path, "the registry", token)


def _page(title: str, uri: str, who: str, token: str = "") -> Check:
    """Asks for a page; a status that is no success is told with its beginning."""
    import urllib3

    parts = urlsplit(uri)
    where = f"{parts.scheme}://{parts.netloc}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = urllib3.PoolManager().request(
            "GET", uri, headers=headers, timeout=_SECONDS, retries=urllib3.Retry(0, redirect=2)
        )
    except urllib3.exceptions.HTTPError as error:
        return Check(title, "bad", f"{who} at {where} does not answer: {error}", f"curl -sv '{uri}'")
    if answer.status < _OK:
        return Check(title, "good", f"{who} at {where} answers")
    text = " ".join(answer.data.decode(errors="replace").split())[:160]
    return Check(title, "bad", f"{who} at {where} answers {answer.status}: {text}", f"curl -sv '{uri}'")


if __name__ == "__main__":
    logging.disable()
    for found in probe(settings()):
        print(json.dumps(vars(found)), flush=True)
