"""What `esmkit serve` can be told: flags win over environment variables, those over a TOML file, that over defaults."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from esmkit.errors import InvalidConfigError, MissingExtraError

GROUPS = {
    "host": "Listening",
    "models": "Models and their queue",
    "max_items": "Bounds of a request",
    "auth": "Keys and limits",
    "jobs_folder": "Batch jobs",
    "probe_interval_s": "Seen from outside",
    "chat_model": "Agents",
    "ray": "Several machines",
}
"""Titles of groups of settings, by the first setting of each."""

# Up to the last @, and in the query: what follows here is a secret, even where a URL is not written as it should be.
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*(?=@)|(?<=password=)[^&]*", re.IGNORECASE)


def _setting(default: Any, help_: str, *, least: float | None = None, is_secret: bool = False) -> Any:
    metadata = {"help": help_, "least": least, "is_secret": is_secret}
    return field(default=default, metadata=metadata, repr=not is_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Everything about one server process; `describe` lists each setting with its help.

    The environment variable of a setting is `ESMKIT_` and its name in capitals, its TOML key is its name. With `_FILE`
    after it, the variable names a file that holds the value, as secrets of containers and services come.
    """

    host: str = _setting("127.0.0.1", "Address to listen on; anything but loopback turns keys on.")
    port: int = _setting(8000, "Port to listen on; 0 takes a free one.", least=0)
    ssl_certfile: str | None = _setting(None, "Certificate chain (PEM) for HTTPS.")
    ssl_keyfile: str | None = _setting(None, "Private key (PEM) of the certificate.")
    trusted_proxies: str = _setting("127.0.0.1", "Addresses whose X-Forwarded-For is believed, with commas; * for all.")
    cors_origins: tuple[str, ...] = _setting((), "Web origins that may call the API from a browser; none by default.")

    models: tuple[str, ...] = _setting(("esm2-mini",), "Models to serve: slug, hub id, or path.")
    predictors: tuple[str, ...] = _setting(
        (), "Folders of predictors, from 'esmkit fit' or 'esmkit train head', that clients may ask by folder name."
    )
    indexes: tuple[str, ...] = _setting(
        (), "Folders of indexes, from 'esmkit index build', that clients may search by folder name."
    )
    lazy: bool = _setting(False, "Load a model at its first request instead of at start.")
    dtype: Literal["float32", "float16", "bfloat16"] = _setting(
        "float32", "Number format of the models: float32, float16 or bfloat16."
    )
    device: str = _setting("auto", "auto, cpu, cuda, cuda:N or mps.")
    attention: str = _setting("auto", "Attention back end.")
    batch_tokens: int | None = _setting(None, "Tokens per batch; by default what suits device and memory.", least=1)
    threads: int | None = _setting(None, "CPU threads of a model; by default what the machine allows.", least=1)
    memory_budget_bytes: int | None = _setting(
        None, "Weights kept in memory at once; the least recently used model leaves. No bound by default.", least=1
    )
    max_queued_tokens: int = _setting(2**20, "Work accepted and not done; above it requests get 429.", least=1)
    cache_bytes: int = _setting(0, "Memory for results of sequences seen before; 0 keeps none.", least=0)
    restarts: int = _setting(3, "How often a model's process is started again after it died.", least=0)
    deadline_s: float = _setting(1200.0, "A request that waited so long gets 504.", least=1)
    drain_timeout_s: float = _setting(120.0, "How long SIGTERM waits for accepted requests.", least=0)

    max_items: int = _setting(8, "Items per request.", least=1)
    max_residues: int = _setting(2048, "Residues per sequence, and the window of long ones.", least=4)
    max_long_residues: int = _setting(32_768, "Residues per sequence with params.long window or truncate.", least=4)
    max_body_bytes: int = _setting(16 * 2**20, "Size of a request body, as sent and inflated.", least=1024)
    max_answer_bytes: int = _setting(256 * 2**20, "Size of the numbers in one answer, as fp32.", least=1024)
    max_answers_bytes: int = _setting(
        4 * 2**30,
        "Memory of all bodies and answers in work, of which JSON takes four times its numbers; above it 429.",
        least=1024,
    )
    header_timeout_s: float = _setting(20.0, "How long a client may take to send the head of a request.", least=0.1)
    body_timeout_s: float = _setting(60.0, "How long a client may take to send a body.", least=0.1)
    write_timeout_s: float = _setting(
        60.0, "How long a client may take no byte of its answer before it is dropped.", least=0.1
    )
    keep_alive_s: int = _setting(75, "How long an idle connection stays open; BioLM's clients assume 65 s.", least=1)

    auth: Literal["auto", "on", "off"] = _setting(
        "auto", "Ask for API keys: on, off, or auto, which asks unless host is loopback."
    )
    database_url: str | None = _setting(
        None,
        "URL of the store, SQLite or PostgreSQL; by default a SQLite file in ~/.local/share/esmkit or ESMKIT_HOME.",
    )
    limit_requests_per_s: int | None = _setting(None, "Requests per second and key; none by default.", least=1)
    limit_residues_per_minute: int | None = _setting(None, "Residues per minute and key.", least=1)
    limit_residues_per_day: int | None = _setting(None, "Residues per day and key.", least=1)
    limit_concurrent: int | None = _setting(None, "Requests at the same time per key, in this process.", least=1)
    limits_storage_url: str = _setting("memory://", "Where rates are counted: memory://, or redis://host:port.")

    jobs_folder: str | None = _setting(
        None,
        "Folder for inputs and results of batch jobs, shared by servers that share jobs; by default jobs in "
        "~/.local/share/esmkit or ESMKIT_HOME.",
    )
    jobs_at_once: int = _setting(
        1, "Batch jobs that this server works on at the same time; 0 leaves them to others.", least=0
    )
    jobs_upload_bytes: int = _setting(256 * 2**20, "Size of the input of a job, as sent and inflated.", least=1024)
    jobs_per_key: int = _setting(100, "Jobs that are kept per key, finished or not.", least=1)
    jobs_bytes_per_key: int = _setting(10 * 2**30, "Disk that the jobs of a key may take.", least=1024)
    jobs_keep_s: float = _setting(7 * 86_400.0, "A job and its files are deleted so long after it has ended.", least=1)
    jobs_lease_s: float = _setting(
        15.0, "A job whose server died is taken over by one that lives after so long.", least=1
    )
    jobs_shard_residues: int | None = _setting(
        None, "Residues between two points from which a job can go on; by default about a minute of work.", least=1
    )
    webhook_hosts: tuple[str, ...] = _setting(
        (),
        "Hosts that webhooks of jobs may call, and addresses or networks (10.1.2.0/24) that are not public; none by "
        "default.",
    )

    probe_interval_s: float = _setting(60.0, "Seconds between status probes of each loaded model.", least=1)
    metrics_open: bool = _setting(False, "Show /metrics without an admin key where keys are on.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "Least level of log lines: debug, info, warning or error."
    )
    log_sequences: bool = _setting(False, "Write sequences to the log; never done unless asked.")

    chat_model: str | None = _setting(
        None,
        "Language model of the chat: ollama:NAME, openai:NAME, anthropic:NAME, or NAME at chat_base_url. There is no "
        "chat by default.",
    )
    chat_base_url: str | None = _setting(
        None, "OpenAI-compatible API that has the language model, such as http://127.0.0.1:8080/v1."
    )
    chat_api_key: str | None = _setting(
        None,
        "Key for the language model; by default OPENAI_API_KEY or ANTHROPIC_API_KEY, for those two alone.",
        is_secret=True,
    )
    chat_messages_per_minute: int = _setting(20, "Messages per minute and caller.", least=1)
    chat_message_characters: int = _setting(32_768, "Characters of one message.", least=1)
    chat_tool_calls: int = _setting(20, "Calls of tools for one answer.", least=0)
    chat_tokens: int = _setting(200_000, "Tokens for one answer, all that its requests send and receive.", least=1)
    chat_answer_timeout_s: float = _setting(600.0, "How long one answer of the chat may take.", least=1)
    chat_conversations: int = _setting(1000, "Conversations in memory; the longest unused leave.", least=1)
    chat_expiry_s: float = _setting(3600.0, "A conversation unused for so long is forgotten.", least=1)

    ray: str | None = _setting(
        None, "Serve on Ray: local starts one here, auto takes the one that runs here, HOST:PORT is its head."
    )
    ray_ingress: int = _setting(1, "Copies of the HTTP application.", least=1)
    ray_replicas: tuple[str, ...] = _setting(
        ("1-1",), "Least and most replicas of a model: MIN-MAX for all, MODEL=MIN-MAX for one; MIN may be 0."
    )
    ray_shared: tuple[str, ...] = _setting(
        (), "Models that take turns in the same replicas, which ray_replicas calls shared."
    )
    ray_shared_models: int = _setting(
        2, "Models in one shared replica at a time; the least recently used leaves.", least=1
    )
    ray_cpus: tuple[str, ...] = _setting(("1",), "CPUs that Ray keeps for a replica: N for all, MODEL=N for one.")
    ray_gpus: tuple[str, ...] = _setting(
        ("0",), "GPUs that Ray keeps for a replica, or a fraction of one: N for all, MODEL=N for one."
    )
    ray_surge: bool = _setting(True, "An update starts a new replica before an old one stops; Ray needs room for both.")
    ray_target_tokens: int = _setting(65_536, "Queued tokens for which there shall be one replica.", least=1)
    ray_upscale_s: float = _setting(5.0, "Replicas are added when so long more are wanted.", least=0)
    ray_downscale_s: float = _setting(60.0, "Replicas are taken away when so long fewer are wanted.", least=0)
    ray_idle_s: float = _setting(300.0, "The last replica goes when it was idle for so long, where MIN is 0.", least=0)
    ray_cold_start_s: float = _setting(
        300.0, "How long a request waits for a model without replica; then it gets 503 with Retry-After.", least=0
    )

    @classmethod
    def resolve(
        cls, flags: Mapping[str, Any], environment: Mapping[str, str], *, path: Path | None = None
    ) -> ServerSettings:
        """Settings from all sources; of flags, those that are None were not given.

        Args:
            flags: values by setting name.
            environment: `ESMKIT_PORT=8080`; lists are separated by commas.
            path: a TOML file; `ESMKIT_CONFIG` names one too.

        Raises:
            InvalidConfigError: a value is wrong, or a setting of the file is unknown; names where it stands.

        Example:
            >>> ServerSettings.resolve({"port": None}, {"ESMKIT_PORT": "9000"}).port
            9000
        """
        named = path or (Path(environment["ESMKIT_CONFIG"]) if environment.get("ESMKIT_CONFIG") else None)
        values: dict[str, Any] = {}
        labels: dict[str, str] = {}
        for name, value in ({} if named is None else _from_toml(named, cls.names())).items():
            values[name], labels[name] = value, f"{named}: {name}"
        for each in fields(cls):
            variable = f"ESMKIT_{each.name.upper()}"
            if text := _from_environment(variable, environment):
                values[each.name] = _listed(text) if isinstance(each.default, tuple) else text
                labels[each.name] = variable
        for name, value in flags.items():
            if value is not None:
                values[name], labels[name] = value, f"--{name.replace('_', '-')}"
        return _validated(cls, values, labels)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every setting by name."""
        return tuple(each.name for each in fields(cls))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def asks_for_keys(self) -> bool:
        """Whether requests need an API key."""
        return self.auth == "on" or (self.auth == "auto" and not self.is_loopback)

    def chat(self) -> dict[str, Any]:
        """The settings of the chat, by name without `chat_`."""
        values = asdict(self)
        return {name.removeprefix("chat_"): values[name] for name in values if name.startswith("chat_")}

    def shown(self) -> dict[str, Any]:
        """The settings as plain data, secrets and passwords in URLs replaced by ***."""
        values = asdict(self)
        for each in fields(self):
            if each.metadata["is_secret"] and values[each.name]:
                values[each.name] = "***"
        for name in ("database_url", "limits_storage_url", "chat_base_url"):
            if values[name] is not None:
                values[name] = _PASSWORD.sub(_hidden, values[name])
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def describe() -> list[tuple[str, Any, str]]:
    """Name, default and help of every setting."""
    return [(each.name, each.default, each.metadata["help"]) for each in fields(ServerSettings)]


def _hidden(found: re.Match[str]) -> str:
    return "***" if found[1] is None else f"{found[1]}:***"


def _from_environment(variable: str, environment: Mapping[str, str]) -> str | None:
    text, path = environment.get(variable), environment.get(f"{variable}_FILE")
    if not path:
        return text
    if text:
        raise InvalidConfigError(f"give {variable} or {variable}_FILE, not both", setting=variable)
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise InvalidConfigError(f"{variable}_FILE={path}: {reason}", setting=variable) from None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _from_toml(path: Path, known: Iterable[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfigError(f"{path}: {error.strerror}", setting="config") from None
    except ValueError as error:
        raise InvalidConfigError(f"{path} is no TOML file: {error}", setting="config") from None
    for name in values:
        if name not in known:
            near = get_close_matches(name, list(known), n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            raise InvalidConfigError(f"{path}: there is no setting {name!r}{guess}", setting=name)
    return values


def _validated(cls: type[ServerSettings], values: Mapping[str, Any], labels: Mapping[str, str]) -> ServerSettings:
    try:
        from pydantic import TypeAdapter, ValidationError
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "settings need pydantic, which is not installed. Install it with: pip install 'esmkit[server]'",
            extra="server",
        ) from error

    try:
        settings = TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        is_secret = next(each.metadata["is_secret"] for each in fields(cls) if each.name == name)
        found = "" if is_secret else f"={values[name]!r}"
        raise InvalidConfigError(f"{labels[name]}{found}: {first['msg']}", setting=name) from None
    for each in fields(cls):
        value, least = getattr(settings, each.name), each.metadata["least"]
        if least is not None and value is not None and value < least:
            raise InvalidConfigError(f"{labels[each.name]} must be at least {least}, not {value}", setting=each.name)
    if (settings.ssl_certfile is None) != (settings.ssl_keyfile is None):
        raise InvalidConfigError("give ssl_certfile and ssl_keyfile, or neither", setting="ssl_certfile")
    if not settings.models:
        raise InvalidConfigError("name at least one model to serve, such as --model esm2-8m", setting="models")
    return settings
