"""The service, asked over HTTP on a free port; it needs the extra bert4keras3[serving]."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from bert4keras3.snippets import WebServing


def fail(message):
    raise RuntimeError(message)


def divide(n, by=2):
    return {"result": n / by}


def count_batch(n, by):
    """n / by, and how many requests share the call."""
    if n == [13.0]:
        return []
    return [(one / (2 if other is None else other), len(n)) for one, other in zip(n, by)]


@pytest.fixture(scope="module")
def service():
    """(address, set of threads that computed) of a running service."""
    pytest.importorskip("uvicorn", reason="bert4keras3[serving] is not installed")
    threads = set()

    def repeat(text, n=1):
        threads.add(threading.current_thread())
        return text * n

    web = WebServing(port=0, max_body_bytes=1000)
    arguments = {"text": (None, True), "n": (int, False)}
    web.route("/repeat", repeat, arguments)
    web.route("/repeat", repeat, arguments, method="POST")
    web.route("/divide", divide, {"n": (float, True), "by": (float, False)})
    web.route("/fail", fail, {"message": (None, True)})
    web.route("/array", lambda: {1, 2}, {})
    web.route("/nothing", lambda: None, {})
    web.route("/batch", count_batch, {"n": (float, True), "by": (float, False)}, max_batch=8, max_wait=0.2)
    thread = threading.Thread(target=web.start)
    thread.start()
    deadline = time.time() + 20
    while not web.server.started and time.time() < deadline:
        time.sleep(0.01)
    host, port = web.server.servers[0].sockets[0].getsockname()
    assert host == "127.0.0.1"
    yield f"http://127.0.0.1:{port}", threads, thread
    web.server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def ask(address, body=None, kind="application/x-www-form-urlencoded", method=None):
    """(HTTP status, the answer) of a GET request, or of a POST request with a body."""
    request = Request(address, body, {"Content-Type": kind} if body is not None else {}, method=method)
    try:
        with urlopen(request, timeout=20) as response:
            status, content, headers = response.status, response.read(), response.headers
    except HTTPError as error:
        status, content, headers = error.code, error.read(), error.headers
    assert headers["Content-Type"] == "application/json"
    return status, json.loads(content.decode("utf-8"))


def success(data):
    return 200, {"code": 0, "desc": "succeeded", "data": data}


def test_get_takes_arguments_from_the_address(service):
    assert ask(service[0] + "/repeat?" + urlencode({"text": "中文 &", "n": 2})) == success("中文 &中文 &")


@pytest.mark.parametrize(
    "body, kind",
    [
        (urlencode({"text": "中", "n": 3}).encode(), "application/x-www-form-urlencoded"),
        (json.dumps({"text": "中", "n": 3}).encode(), "application/json; charset=utf-8"),
    ],
)
def test_post_takes_arguments_from_the_body(service, body, kind):
    assert ask(service[0] + "/repeat", body, kind) == success("中中中")


def test_optional_argument_may_be_absent(service):
    assert ask(service[0] + "/repeat?text=a&other=b") == success("a")


def test_result_may_be_nothing(service):
    assert ask(service[0] + "/nothing") == success(None)


@pytest.mark.parametrize(
    "path, status, code, description",
    [
        ("/repeat?n=2", 400, 1, 'lack of "text" argument'),
        ("/repeat?text=a&n=two", 400, 1, 'argument "n": invalid literal'),
        ("/missing", 404, 1, "GET /missing: Not Found"),
        ("/fail?message=out+of+order", 500, 2, "out of order"),
        ("/divide?n=1&by=0", 500, 2, "float division by zero"),
        ("/divide?n=nan", 500, 2, "JSON"),
        ("/array", 500, 2, "not JSON serializable"),
    ],
)
def test_error_is_a_sentence_in_json(service, path, status, code, description):
    found, answer = ask(service[0] + path)
    assert (found, answer["code"], answer["data"]) == (status, code, {})
    assert description in answer["desc"]
    assert "Traceback" not in answer["desc"]


@pytest.mark.parametrize(
    "body, kind, status, description",
    [
        (b"text=" + b"a" * 1000, "application/x-www-form-urlencoded", 413, "1000 bytes"),
        (b"{", "application/json", 400, "cannot be read"),
        (b"[1]", "application/json", 400, "JSON object"),
        (b"\xff", "application/json", 400, "cannot be read"),
        (b"[" * 999, "application/json", 400, ""),
        (b'{"text": 3}', "application/json", 400, "expected a string, got int"),
        (b'{"text": "a", "n": [1]}', "application/json", 400, 'argument "n"'),
        (b'{"text": null}', "application/json", 400, "lack of"),
        (b"text=%ff", "application/x-www-form-urlencoded", 400, "cannot be read"),
        (b"text=a", "text/plain", 415, "text/plain"),
    ],
)
def test_body_that_does_not_fit_is_refused(service, body, kind, status, description):
    found, answer = ask(service[0] + "/repeat", body, kind)
    assert (found, answer["code"]) == (status, 1)
    assert description in answer["desc"]


def test_other_method_is_refused(service):
    assert ask(service[0] + "/divide", b"", method="POST")[0] == 405


def test_functions_run_in_the_thread_that_started_the_service(service):
    ask(service[0] + "/repeat?text=a")
    assert service[1] == {service[2]}


def test_requests_of_several_callers_share_a_call(service):
    addresses = [service[0] + "/batch?" + urlencode({"n": n}) for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = [answer["data"] for status, answer in pool.map(ask, addresses) if status == 200]
    assert [one for one, _ in answers] == [n / 2 for n in range(20)]
    assert 1 < max(count for _, count in answers) <= 8


def test_a_request_that_fails_leaves_the_others_their_answers(service):
    addresses = [service[0] + "/batch?" + urlencode({"n": n, "by": n % 2}) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, addresses))
    assert [status for status, _ in answers] == [500, 200, 500, 200]
    assert answers[2][1]["desc"] == "float division by zero"
    assert [answers[n][1]["data"][0] for n in (1, 3)] == [1, 3]


def test_a_result_is_missing(service):
    status, answer = ask(service[0] + "/batch?n=13")
    assert (status, answer["desc"]) == (500, "expected 1 results, one of each request, got 0")


def test_other_server_is_replaced_with_a_warning():
    pytest.importorskip("uvicorn", reason="bert4keras3[serving] is not installed")
    with pytest.warns(UserWarning, match="uvicorn serves in place of 'paste'"):
        WebServing(server="paste")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(ImportError, match=r"bert4keras3\[serving\]"):
        WebServing()
