"""The token that a Kubeflow server asks for: from a file or the environment, never shown."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from paddlepress.core.errors import ClusterError

VARIABLE = "PADDLEPRESS_TOKEN"
_LONGEST = 100_000


@dataclass(frozen=True)
class TokenSource:
    """Where the token is; a file is read before each request, as Kubernetes renews such files in place.

    Attributes:
        file: the file; None: the environment variable PADDLEPRESS_TOKEN, or none at all.
    """

    file: Path | None = None

    @property
    def origin(self) -> str:
        """For messages; empty where there is no token."""
        if self.file is not None:
            return str(self.file)
        return VARIABLE if os.environ.get(VARIABLE, "").strip() else ""

    def read(self) -> str:
        """The token; empty where there is none.

        Raises:
            ClusterError: the file can't be read, or holds no token.
        """
        if self.file is None:
            token = os.environ.get(VARIABLE, "").strip()
        else:
            try:
                with self.file.open("rb") as stream:
                    token = stream.read(_LONGEST + 1).decode("ascii").strip()
            except OSError as error:
                raise ClusterError(f"can't read the token in {self.file}: {error.strerror or error}") from None
            except UnicodeDecodeError:
                token = " "
        if self.origin and (len(token) > _LONGEST or not token or not all("!" <= each <= "~" for each in token)):
            raise ClusterError(
                f"{self.origin} holds no token. Valid: one line of letters, digits and signs, "
                "such as `kubectl create token` prints"
            )
        return token


def expiry(token: str) -> datetime | None:
    """When a JSON Web Token expires, by its own words, which are not verified; None of any other."""
    try:
        body = token.split(".")[1]
        content = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return datetime.fromtimestamp(content["exp"], UTC)
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
