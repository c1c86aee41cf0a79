"""Functions as a small JSON service: https://www.starlette.io on uvicorn, the base of FastAPI."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

MAX_BODY_BYTES = 1 << 20

logger = logging.getLogger(__name__)


class BadRequest(Exception):
    """An invalid request: HTTP status and description."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status, self.description = status, description


class WebServing:
    """Serve functions as JSON over HTTP; needs `pip install bert4keras3[serving]`.

    ::

        web = WebServing(port=8864)
        web.route('/synonyms', synonyms, {'text': (None, True), 'n': (int, False)})
        web.start()  # then http://127.0.0.1:8864/synonyms?text=你好&n=3

    An answer is {"code": …, "desc": …, "data": …}. The code is 0 for success; 1 for an invalid request (HTTP status
    400, 404, 405, 413 or 415); 2 if the function raises an error (status 500, the message in desc, the traceback in the
    log).

    Requests are answered one after another in the thread that calls `start`, because TensorFlow 1 runs a model only in
    the thread that created it. Requests of several callers that arrive within a few milliseconds can share a call, see
    `route`. There is no access control, so expose other hosts than 127.0.0.1 at your own risk.

    Args:
        host: '0.0.0.0' accepts requests from other machines (bert4keras's default).
        port: TCP port.
        server: only 'uvicorn'.
        max_body_bytes: largest size of a request's body.

    Raises:
        ImportError: starlette or uvicorn is not installed.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        server: str = "uvicorn",
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        try:
            import starlette.applications
            import uvicorn
        except ImportError as error:
            raise ImportError(
                f"WebServing needs starlette and uvicorn ({error}): pip install bert4keras3[serving]"
            ) from error
        if server != "uvicorn":
            warnings.warn(f"WebServing: uvicorn serves in place of {server!r}", stacklevel=2)
        self.host, self.port, self.max_body_bytes = host, port, max_body_bytes
        self.app = starlette.applications.Starlette(exception_handlers={404: self._refuse, 405: self._refuse})
        self.server = uvicorn.Server(uvicorn.Config(self.app, host=host, port=port, log_level="warning"))

    def wraps(
        self,
        func: Callable[..., Any],
        arguments: Mapping[str, tuple[Callable[[Any], Any] | None, bool]],
        method: str = "GET",
        max_batch: int | None = None,
        max_wait: float = 0.005,
    ) -> Callable:
        """Create a Starlette endpoint from a function whose result can be written as JSON.

        A GET request passes arguments in its address. Other requests pass them in the body: a form, or a JSON object,
        whose values reach the conversion unchanged.

        Args:
            func: function of keyword arguments. With `max_batch` each is a list, with an item (or None) of each
                request, and the result has an item for each request. If a call raises an error, each of its requests is
                answered alone.
            arguments: name → (conversion, or None for a plain string; whether the argument is required).
            method: HTTP method.
            max_batch: requests that share a call at most; None: a call for each request.
            max_wait: seconds that a request waits for others.
        """
        answer = (
            _call_alone(func) if max_batch is None else _Batches(func, arguments, max_batch, max_wait).answer
        )

        async def endpoint(request: Any) -> Any:
            try:
                given = await self._read_arguments(request, method)
                keywords = _convert_arguments(given, arguments)
            except BadRequest as error:
                return _answer(error.status, 1, error.description)
            try:
                return _answer(200, 0, "succeeded", await answer(keywords))
            except Exception as error:  # the service continues after any error
                logger.exception("%s failed", request.url.path)
                return _answer(500, 2, str(error) or type(error).__name__)

        return endpoint

    def route(
        self,
        path: str,
        func: Callable[..., Any],
        arguments: Mapping[str, tuple[Callable[[Any], Any] | None, bool]],
        method: str = "GET",
        max_batch: int | None = None,
        max_wait: float = 0.005,
    ) -> None:
        """Let `func` answer `method` requests to `path`, as `wraps` describes."""
        endpoint = self.wraps(func, arguments, method, max_batch, max_wait)
        self.app.router.add_route(path, endpoint, methods=[method])

    def start(self) -> None:
        """Serve until the process is interrupted, or `web.server.should_exit` is set."""
        self.server.run()

    async def _read_arguments(self, request: Any, method: str) -> dict[str, Any]:
        if method.upper() == "GET":
            return dict(request.query_params)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_body_bytes:
                raise BadRequest(413, f"body of more than {self.max_body_bytes} bytes")
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        try:
            if kind == "application/json":
                given = json.loads(body.decode("utf-8"))
                if not isinstance(given, dict):
                    raise BadRequest(400, f"expected a JSON object, got {type(given).__name__}")
                return given
            if not body or kind == "application/x-www-form-urlencoded":
                return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict"))
        except (ValueError, RecursionError) as error:
            raise BadRequest(400, f"body that cannot be read: {error}")
        raise BadRequest(415, f"expected a form or application/json, got content type {kind!r}")

    async def _refuse(self, request: Any, error: Any) -> Any:
        return _answer(error.status_code, 1, f"{request.method} {request.url.path}: {error.detail}")


def _call_alone(func: Callable[..., Any]) -> Callable:
    async def answer(keywords: dict[str, Any]) -> Any:
        return func(**keywords)

    return answer


class _Batches:
    """Requests that wait for a shared call.

    Args:
        func, arguments, max_batch, max_wait: as in `WebServing.wraps`.
    """

    def __init__(
        self, func: Callable[..., Any], arguments: Mapping[str, Any], max_batch: int, max_wait: float
    ) -> None:
        self.func, self.names, self.max_batch, self.max_wait = func, list(arguments), max_batch, max_wait
        self.waiting: list[tuple[dict[str, Any], asyncio.Future]] = []

    async def answer(self, keywords: dict[str, Any]) -> Any:
        """The result of a request; other requests may share its call."""
        loop = asyncio.get_running_loop()
        result = loop.create_future()
        self.waiting.append((keywords, result))
        if len(self.waiting) == self.max_batch:
            self.call_all()
        elif len(self.waiting) == 1:
            loop.call_later(self.max_wait, self.call_all)
        return await result

    def call_all(self) -> None:
        """Call the function for all that wait."""
        waiting, self.waiting = self.waiting, []
        answers = self.call([request for request, _ in waiting]) if waiting else []
        for answer, (_, result) in zip(answers, waiting):
            if result.done():  # the caller has gone
                continue
            if isinstance(answer, Exception):
                result.set_exception(answer)
            else:
                result.set_result(answer)

    def call(self, requests: Sequence[dict[str, Any]]) -> list[Any]:
        """The result of each request, or what it raised."""
        try:
            found = list(self.func(**{name: [one.get(name) for one in requests] for name in self.names}))
            if len(found) != len(requests):
                raise ValueError(f"expected {len(requests)} results, one of each request, got {len(found)}")
            return found
        except Exception as error:  # of one request perhaps
            return [error] if len(requests) == 1 else [self.call([one])[0] for one in requests]


def _convert_arguments(
    given: Mapping[str, Any], arguments: Mapping[str, tuple[Callable[[Any], Any] | None, bool]]
) -> dict[str, Any]:
    """Convert the arguments of the function; others are left out.

    Raises:
        BadRequest: an argument is missing or cannot be converted.
    """
    keywords = {}
    for name, (convert, needed) in arguments.items():
        value = given.get(name)
        if value is None:
            if needed:
                raise BadRequest(400, f'lack of "{name}" argument')
            continue
        if convert is None and not isinstance(value, str):
            raise BadRequest(400, f'argument "{name}": expected a string, got {type(value).__name__}')
        try:
            keywords[name] = value if convert is None else convert(value)
        except Exception as error:  # the conversion is the user's function
            raise BadRequest(400, f'argument "{name}": {str(error) or type(error).__name__}')
    return keywords


def _answer(status: int, code: int, description: str, data: Any = None) -> Any:
    """A JSON response.

    Raises:
        TypeError, ValueError: JSON cannot represent the data, for example arrays or NaN.
    """
    from starlette.responses import Response

    content = {"code": code, "desc": description, "data": {} if data is None and code else data}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")
