"""Being logged in to a vendor: one login for all threads, made when it is needed and kept in memory alone."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from haul.connectors import SecretSource
from haul.errors import CredentialsRefusedError, UnexpectedResponseError, VendorUnavailableError


class Session(Protocol):
    """A login that the vendor accepted, good until a time of the clock."""

    @property
    def good_until(self) -> float: ...


class Login[C, S: Session]:
    """Logs in once, and again when the token has had its time or is refused.

    Args:
        secret: where the credentials are.
        read: checks them.
        log_in: asks the vendor. What the login was for has not been sent then, so of a `VendorUnavailableError` that
            it raises `sent` is False.
        clock: the time.
    """

    def __init__(
        self,
        secret: SecretSource,
        *,
        read: Callable[[Mapping[str, Any]], C],
        log_in: Callable[[C], S],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._read = read
        self._log_in = log_in
        self._clock = clock
        self._lock = threading.Lock()
        self._session: S | None = None

    def session(self) -> S:
        """The login to use.

        Raises:
            CredentialsRefusedError: also with the secret read anew, where it has changed.
        """
        with self._lock:
            if self._session is None or self._clock() >= self._session.good_until:
                self._session = self._log_in_with_any()
            return self._session

    def renewed(self, refused: S, why: str = "") -> S:
        """Another login than the one that the vendor refused, saying `why`, with the secret read anew."""
        with self._lock:
            if self._session is None or self._session is refused:
                fresh = self._read(self._secret.fresh())
                self.require_another(fresh, refused, why)
                self._session = self._log_in(fresh)
            return self._session

    def require_another(self, fresh: C, refused: S, why: str) -> None:
        """Raise where a login with `fresh` can only be the refused one again; a token that is asked for never is."""

    def _log_in_with_any(self) -> S:
        known = self._read(self._secret.current())
        try:
            return self._log_in(known)
        except CredentialsRefusedError:
            fresh = self._read(self._secret.fresh())
            if fresh == known:  # the same password again would only bring the user closer to being locked out
                raise
            return self._log_in(fresh)


def logged_in[S](log_in: Callable[[], S], *, submits: bool) -> S:
    """Log in. An odd answer to that is no answer to the submission it was for, which has not been sent."""
    try:
        return log_in()
    except UnexpectedResponseError as error:
        if not submits:
            raise
        raise VendorUnavailableError(str(error), sent=False) from None
