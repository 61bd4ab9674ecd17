"""`GET /metrics`: what a worker knows of itself, in Prometheus' text format.

Each row of `METRICS` is one metric; docs/reference/metrics.md is made from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hocket.errors import SLOW_CONSUMER, HTTPError
from hocket.hub.outbox import Backlog
from hocket.protocol.http1 import Request, response
from hocket.transport.stream import HttpStream

if TYPE_CHECKING:
    from hocket.instance.control import Counted, Numbers
    from hocket.instance.worker import Worker
    from hocket.providers.delivery import Delivery

Value = float | Mapping[Any, float]


class Metric(NamedTuple):
    """`kind` is counter or gauge; `read` gives a number, or numbers by the values of `labels`;
    `join` makes one number of those of several workers.
    """

    name: str
    kind: str
    help: str
    read: Callable[[Worker], Value]
    labels: tuple[str, ...] = ()
    join: Callable[[Iterable[float]], float] = sum


def _connections(worker: Worker) -> Value:
    return Counter(each.transport.name for each in worker.engine.connections.values())


def _outboxes(worker: Worker) -> list[Backlog]:
    every = (connection.outbox for connection in worker.engine.connections.values())
    return [outbox for outbox in every if isinstance(outbox, Backlog)]


def _handlers(worker: Worker, field: str) -> Value:
    """By namespace and event, which are those that the app has declared: a bounded number."""
    app = worker.app
    named = [
        *app.static.items(),
        *((pattern.pattern, each) for pattern, each in app.dynamic.items()),
    ]
    return {
        (namespace, event): getattr(handler, field)
        for namespace, handlers in named
        for event, handler in handlers.all()
    }


def _accepted(worker: Worker) -> Value:
    keeping = worker.keeping
    return 0 if keeping is None else keeping.notifier.notifications.accepted


def _delivery(worker: Worker, read: Callable[[Delivery], Value], none: Value = 0) -> Value:
    """Of the process that delivers; of others, nothing."""
    delivery = worker.keeping.delivery if worker.keeping is not None else None
    return none if delivery is None else read(delivery)


METRICS: Final = [
    Metric("connections", "gauge", "Sessions that are open.", _connections, ("transport",)),
    Metric(
        "connections_opened", "counter", "Sessions opened, by the transport they began with.",
        lambda worker: worker.engine.counts.opened, ("transport",),
    ),
    Metric(
        "connections_closed", "counter", "Sessions ended, by reason.",
        lambda worker: worker.engine.counts.closed, ("reason",),
    ),
    Metric(
        "slow_consumers", "counter", "Clients disconnected because they did not read fast enough.",
        lambda worker: worker.engine.counts.closed[SLOW_CONSUMER],
    ),
    Metric(
        "sockets", "gauge", "Clients in namespaces; one client may be in several.",
        lambda worker: sum(len(nsp.sockets) for nsp in worker.hub.namespaces.values()),
    ),
    Metric(
        "rooms", "gauge", "Rooms that somebody is in.",
        lambda worker: sum(len(nsp.rooms) for nsp in worker.hub.namespaces.values()),
    ),
    Metric(
        "events_received", "counter", "Events from clients.",
        lambda worker: worker.engine.counts.events_in,
    ),
    Metric(
        "events_sent", "counter", "Events to clients: one for each client that an event went to.",
        lambda worker: worker.engine.counts.events_out,
    ),
    Metric(
        "received_bytes", "counter", "Bytes read from clients.",
        lambda worker: worker.reactor.bytes_in,
    ),
    Metric(
        "sent_bytes", "counter", "Bytes written to clients, or to their outboxes.",
        lambda worker: worker.engine.counts.bytes_out
        + worker.http.out.bytes_out
        + (worker.mounted.bytes_out if worker.mounted else 0),
    ),
    Metric(
        "http_requests", "counter", "HTTP requests, those of polling clients included.",
        lambda worker: worker.http.requests,
    ),
    Metric(
        "open_files", "gauge", "Connections of any kind that are open: sessions, HTTP, departing.",
        lambda worker: len(worker.reactor),
    ),
    Metric(
        "outboxes", "gauge", "Clients for whom bytes wait because they do not read fast enough.",
        lambda worker: len(_outboxes(worker)),
    ),
    Metric(
        "outbox_bytes", "gauge", "Bytes that wait for such clients.",
        lambda worker: sum(outbox.size for outbox in _outboxes(worker)),
    ),
    Metric(
        "pending_bytes", "gauge", "Bytes of broadcasts that wait for their turn to be written.",
        lambda worker: worker.engine.fanout.pending_bytes,
    ),
    Metric(
        "handler_calls", "counter", "Events given to handlers.",
        lambda worker: _handlers(worker, "calls"), ("namespace", "event"),
    ),
    Metric(
        "handler_seconds", "counter", "Time that handlers held the event loop, waiting left out.",
        lambda worker: _handlers(worker, "seconds"), ("namespace", "event"),
    ),
    Metric(
        "handlers_running", "gauge", "Handlers that have begun and not ended.",
        lambda worker: sum(each.running for each in worker.engine.connections.values()),
    ),
    Metric("notifications_accepted", "counter", "Notifications stored.", _accepted),
    Metric(
        "deliveries", "counter",
        "Deliveries to devices that were settled, and tries that are to be repeated (retry).",
        lambda worker: _delivery(worker, lambda it: it.counts, {}), ("provider", "state"),
    ),
    Metric(
        "deliveries_waiting", "gauge", "Deliveries to devices that are not settled.",
        lambda worker: _delivery(worker, lambda it: it.waiting),
    ),
    Metric(
        "deliveries_in_hand", "gauge", "Those of them that are claimed, by provider.",
        lambda worker: _delivery(worker, lambda it: it.in_hand, {}), ("provider",),
    ),
    Metric(
        "providers_paused", "gauge", "1 while a provider wants to be left alone.",
        lambda worker: _delivery(worker, lambda it: it.paused, {}), ("provider",),
    ),
    Metric(
        "release_lag_seconds", "gauge",
        "How late a scheduled notification was released at most since this was last read.",
        lambda worker: _delivery(worker, lambda it: it.take_lag()), join=max,
    ),
    Metric(
        "loop_lag_seconds", "gauge", "Longest delay of the event loop since this was last read.",
        lambda worker: worker.lag.take(), join=max,
    ),
    Metric(
        "gc_collections", "counter", "Runs of Python's garbage collector.",
        lambda worker: worker.garbage.collections,
    ),
    Metric(
        "gc_pause_seconds", "counter", "Time that those runs took.",
        lambda worker: worker.garbage.paused,
    ),
    Metric(
        "gc_longest_pause_seconds", "gauge", "Longest of those runs since the server started.",
        lambda worker: worker.garbage.longest, join=max,
    ),
]  # fmt: skip


class Lag:
    """How late the event loop calls: a timer that knows when it should have come."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._due = 0.0
        self._longest = 0.0

    def tick(self, now: float) -> None:
        if self._due:
            self._longest = max(self._longest, now - self._due)
        self._due = now + self.every

    def take(self) -> float:
        longest, self._longest = self._longest, 0.0
        return longest


class Metrics:
    """Answers `GET /metrics`.

    Args:
        worker: whose numbers.
        everybody: answer any client; else only clients on this machine that no proxy brought.
    """

    def __init__(self, worker: Worker, everybody: bool) -> None:
        self._worker = worker
        self._everybody = everybody
        self._registry: Any = None
        self._told: list[Numbers] = [{}]

    def __call__(self, stream: HttpStream, request: Request) -> None:
        if not self._everybody and not _is_local(stream, request):
            error = HTTPError(404, "not found")
            stream.transport.answer(stream, stream.transport.error_response(error, request))
        elif self._worker.count_all is not None:
            asked = self._worker.count_all()
            self._worker.loop.spawn(self._answer_for_all(stream, request, asked))
        else:
            self._answer(stream, request, [_numbers(METRICS, self._worker)])

    async def _answer_for_all(
        self, stream: HttpStream, request: Request, asked: Awaitable[list[Numbers]]
    ) -> None:
        try:
            told = await asked
        except TimeoutError:  # a part of it would be a fall
            error = HTTPError(503, "the supervisor does not answer")
            stream.transport.answer(stream, stream.transport.error_response(error, request))
        else:
            self._answer(stream, request, told)

    def _answer(self, stream: HttpStream, request: Request, told: list[Numbers]) -> None:
        if stream.fd < 0:  # it has gone meanwhile
            return
        body, kind = self.text(told)
        fields = [*stream.transport.date(), (b"content-type", kind.encode())]
        stream.transport.answer(stream, response(200, fields, body, close=not request.keep_alive))

    def text(self, told: list[Numbers]) -> tuple[bytes, str]:
        """The numbers of all processes as metrics, and their media type."""
        from prometheus_client import (  # lazy: 40 ms of the start, when somebody asks
            CollectorRegistry,
            ProcessCollector,
        )
        from prometheus_client.exposition import (
            CONTENT_TYPE_PLAIN_0_0_4,
            generate_latest,
        )  # lazy: as above

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
        self._told = told
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterable[Any]:
        """What prometheus-client asks of a collector."""
        from prometheus_client.core import (  # lazy: as above
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for metric in METRICS:
            family = kinds[metric.kind](f"hocket_{metric.name}", metric.help, labels=metric.labels)
            for labels, number in _joined(metric, self._told):
                family.add_metric(labels, number)
            yield family


def counted(worker: Worker) -> Counted:
    """All metrics of a worker, for others."""
    from hocket.instance.control import Counted  # lazy: a worker alone needs none of it

    of_kind = {
        kind: [metric for metric in METRICS if metric.kind == kind] for kind in ("counter", "gauge")
    }
    return Counted(_numbers(of_kind["counter"], worker), _numbers(of_kind["gauge"], worker))


def _numbers(metrics: list[Metric], worker: Worker) -> Numbers:
    return {metric.name: list(_read(metric, worker)) for metric in metrics}


def _read(metric: Metric, worker: Worker) -> Iterable[tuple[tuple[str, ...], float]]:
    value = metric.read(worker)
    for labels, number in value.items() if isinstance(value, Mapping) else [((), value)]:
        yield (labels,) if isinstance(labels, str) else labels, number


def _joined(metric: Metric, told: list[Numbers]) -> Iterable[tuple[tuple[str, ...], float]]:
    """A metric of several workers as one."""
    found: dict[tuple[str, ...], list[float]] = {}
    for each in told:
        for labels, number in each.get(metric.name, ()):
            found.setdefault(tuple(labels), []).append(number)
    return [(labels, metric.join(values)) for labels, values in found.items()]


def _is_local(stream: HttpStream, request: Request) -> bool:
    """From this machine, and by nobody else's order: a proxy here would look local too."""
    brought = (b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip")
    trusted = stream.address != stream.peer
    if not trusted and any(request.has(name) for name in brought):
        return False
    return bool(stream.address) and ip_address(stream.address).is_loopback
