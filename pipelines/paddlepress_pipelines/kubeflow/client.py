"""A Kubeflow Pipelines server: its official client, which tries again, and whose failures are one line."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from paddlepress.core.errors import ClusterError, shown
from paddlepress.registry.location import redacted
from paddlepress_pipelines.kubeflow.failures import AlreadyThere, Missing, Passing, answered, unreached
from paddlepress_pipelines.kubeflow.token import TokenSource

PATIENCE_S = 120.0
"""How long a server that is busy or away is asked again."""
_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 60.0
_LONGEST_PAUSE_S = 15.0
_PAGE = 100
_MAJOR = 2
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_ADDRESSES = (
    "http://localhost:8888 of `kubectl port-forward -n kubeflow svc/ml-pipeline 8888`, or https://HOST/pipeline"
)


def checked_host(text: str, origin: str = "--host") -> str:
    """A server's URL without what a browser's address has behind it.

    Raises:
        ClusterError: it is no URL, or has a user or password in it.
    """
    url = re.sub(r"/*(#.*|apis/v[0-9].*)?$", "", text.strip())
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and not parts.query and parts.port != 0
    except ValueError:
        fits, parts = False, urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise ClusterError(f"{origin} {redacted(url)!r} has a user in it. Valid: --token-file FILE for what is secret")
    if not fits or re.search(r"\s", url):
        raise ClusterError(f"{origin} {shown(redacted(text), 200)} is no URL of a server. Valid: such as {_ADDRESSES}")
    return url


class Cluster:
    """A Kubeflow Pipelines server.

    Args:
        host: its URL.
        token: sent with each request.
        say: told of each pause before a request is tried again.
        patience_s: after so many seconds without success a request is given up.
        pause_s: the first pause; the next ones double.
        answer_timeout_s: how long an answer may take.

    Attributes:
        namespace: of a server that several users share; else None.
    """

    def __init__(
        self,
        host: str,
        token: TokenSource | None = None,
        *,
        say: Callable[[str], None] = lambda text: None,
        patience_s: float = PATIENCE_S,
        pause_s: float = 1.0,
        answer_timeout_s: float = _ANSWER_TIMEOUT_S,
    ) -> None:
        import kfp_server_api as server
        from urllib3 import Retry

        self.host = checked_host(host)
        self.token = token or TokenSource()
        self.namespace: str | None = None
        self._say, self._patience_s, self._pause_s = say, patience_s, pause_s
        self._timeouts = (_CONNECT_TIMEOUT_S, answer_timeout_s)
        self._reached = self._known = False
        configuration = server.Configuration(host=self.host)
        # Its own retries know nothing of what was done already, and follow a redirection to a login page.
        configuration.retries = Retry(False, raise_on_redirect=False)
        configuration.ssl_ca_cert = os.environ.get("SSL_CERT_FILE") or None
        if self.token.origin:
            configuration.api_key["authorization"] = self.token.read()
            configuration.api_key_prefix["authorization"] = "Bearer"
            configuration.refresh_api_key_hook = self._refresh
        self.api = server.ApiClient(configuration)
        self.experiments = server.ExperimentServiceApi(self.api)
        self.pipelines = server.PipelineServiceApi(self.api)
        self.uploads = server.PipelineUploadServiceApi(self.api)
        self.runs = server.RunServiceApi(self.api)
        self.recurring_runs = server.RecurringRunServiceApi(self.api)
        self._health = server.HealthzServiceApi(self.api)

    def connect(self, namespace: str | None = None) -> Cluster:
        """Ask the server what it is.

        Args:
            namespace: of the user, on a server that several share.

        Raises:
            ClusterError: it can't be reached, is no Kubeflow Pipelines of version 2, or needs a namespace.
        """
        try:
            self.call(self._health.healthz_service_get_healthz)
        except Missing:
            raise ClusterError(self._not_ours()) from None
        try:
            health = json.loads(self.api.last_response.data)
        except ValueError:
            health = {"multi_user": None}
        if not isinstance(health.get("multi_user", False), bool):
            raise ClusterError(self._not_ours())
        version = str(health.get("tag_name", ""))
        major = re.match(r"v?([0-9]+)\.[0-9]", version)
        if major is not None and int(major[1]) != _MAJOR:
            raise ClusterError(
                f"{self.host} is Kubeflow Pipelines {version}: paddlepress speaks the language of version {_MAJOR}"
            )
        shared = bool(health.get("multi_user"))
        if shared and namespace is None and _OWN_NAMESPACE.is_file():
            namespace = _OWN_NAMESPACE.read_text(encoding="utf-8").strip()
        if shared and not namespace:
            raise ClusterError(f"--namespace is missing: {self.host} is shared by several users, who have one each")
        if namespace and not shared:
            raise ClusterError(
                f"--namespace {namespace!r}: {self.host} is not shared by several users, and has none to choose from"
            )
        self.namespace = namespace
        self._known = True
        return self

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        found: Callable[[], Any] | None = None,
        patience_s: float | None = None,
        **options: Any,
    ) -> Any:
        """Call a function of the client, and call it again while the server is busy or away.

        Args:
            function: of one of the attributes.
            arguments, options: its own; those that are None are left out.
            found: looks for what the function makes, and gives None where it is not there. A request that failed
                may have been obeyed: it is looked up before the request is sent again.
            patience_s: for this call.

        Raises:
            Missing: it is not there.
            AlreadyThere: it can't be made, as it is there, and `found` does not find it.
            ClusterError: the server can't be reached or refuses.
        """
        patience = self._patience_s if patience_s is None else patience_s
        given = {name: value for name, value in options.items() if value is not None}
        doubtful = False

        def once() -> Any:
            nonlocal doubtful
            if doubtful and found is not None and (there := found()) is not None:
                return there
            try:
                return self._ask(function, *arguments, **given)
            except AlreadyThere:
                there = found() if found is not None else None
                if there is None:
                    raise
                return there
            except Passing as error:
                doubtful = doubtful or error.maybe_done
                raise

        def pause(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome is not None else None
            asked = failure.after_s if isinstance(failure, Passing) else 0.0
            return max(wait_exponential(self._pause_s, max=_LONGEST_PAUSE_S)(state), asked)

        def tell(state: RetryCallState) -> None:
            assert state.outcome is not None
            self._say(f"{state.outcome.exception()}; trying again in {state.upcoming_sleep:.0f} s")

        def give_up(state: RetryCallState) -> NoReturn:
            assert state.outcome is not None
            failure = state.outcome.exception()
            asked = failure.after_s if isinstance(failure, Passing) else 0.0
            count = state.attempt_number
            often = "once" if count == 1 else f"{count} times in {state.seconds_since_start or 0:.0f} s"
            later = f", and asks to be left alone for {asked:.0f} s" if asked else ""
            raise ClusterError(f"{failure}; it was asked {often}{later}") from None

        return Retrying(
            retry=retry_if_exception_type(Passing),
            wait=pause,
            stop=stop_before_delay(patience),
            before_sleep=tell,
            retry_error_callback=give_up,
            sleep=time.sleep,
        )(once)

    def listed(self, function: Callable[..., Any], items: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        """All that a listing function gives, page after page.

        Args:
            function: of one of the attributes.
            items: the attribute of its answers that has them.
            arguments, options: its own; those that are None are left out.
        """
        page = None
        while True:
            answer = self.call(function, *arguments, page_size=_PAGE, page_token=page, **options)
            yield from getattr(answer, items) or ()
            page = answer.next_page_token
            if not page:
                return

    def text(self, path: str, **options: str) -> str:
        """What a path of the server gives that its client has no function for, as text.

        Raises:
            ClusterError: as `call` does.
        """

        def read(_request_timeout: tuple[float, float]) -> str:
            answer = self.api.call_api(
                path,
                "GET",
                path_params=options,
                auth_settings=["Bearer"],
                _preload_content=False,
                _request_timeout=_request_timeout,
            )
            return str(answer.data.decode("utf-8", "replace"))

        return str(self.call(read))

    def link(self, path: str) -> str:
        """The address of a page of the user interface."""
        return f"{self.host}/#/{path}"

    def _refresh(self, configuration: Any) -> None:
        configuration.api_key["authorization"] = self.token.read()

    def _ask(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One request."""
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        self.api.last_response = None
        try:
            result = function(*arguments, _request_timeout=self._timeouts, **options)
        except (ApiException, HTTPError, AttributeError, UnicodeDecodeError) as error:
            cause = _cause(error, (ApiException, HTTPError))
            if isinstance(cause, ApiException) and cause.status:
                self._reached = True
                failure = answered(cause.status, cause.headers, cause.body, self.host, self.token)
            else:
                failure = unreached(cause, self.host)
                if isinstance(failure, Passing) and not failure.maybe_done and not self._reached:
                    failure = ClusterError(f"{failure}. Check --host")
            raise failure from None
        self._reached = True
        # The client makes an empty model of a page; what `text` asks for is bytes here.
        said = getattr(self.api.last_response, "data", None)
        if isinstance(said, str) and said.lstrip()[:1] != "{":
            raise ClusterError(
                f"{self.host} answers with a page: is it a login's?" if self._known else self._not_ours()
            )
        return result

    def _not_ours(self) -> str:
        """What answers instead of a server of version 2."""
        try:
            answer = self.text("/apis/v1beta1/healthz")
            old = answer.lstrip().startswith("{")
        except ClusterError:
            old = False
        if old:
            return f"{self.host} is Kubeflow Pipelines 1: paddlepress speaks the language of version {_MAJOR}"
        return f"{self.host} answers, but is no Kubeflow Pipelines. Valid: {_ADDRESSES}"


def _cause(error: Exception, kinds: tuple[type[Exception], ...]) -> Exception:
    """The error of the connection; the client fails of its own when an answer's error has no body of text."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, kinds):
            return link
        link = link.__context__
    raise error
