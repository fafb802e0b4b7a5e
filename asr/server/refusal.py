"""What a client is told when it cannot have what it asked for, in the form of OpenAI's API."""

from collections.abc import Mapping

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

NO_RETRY = {"x-should-retry": "false"}
"""OpenAI's clients try again after most failures; a recording that took too long would only take as long again."""


class Refusal(HTTPException):
    """Ends a request with an HTTP status and one line."""

    def __init__(
        self,
        status: int,
        message: str,
        parameter: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            parameter: The field of the form that is to blame.
            code: What went wrong, for programs.
        """
        super().__init__(status, message, dict(headers or {}))
        self.parameter = parameter
        self.code = code


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """An exception as a response; of a bug the client learns nothing but that there is one."""
    if not isinstance(error, AnyHTTPException):
        return _response(500, "the server made a mistake; its terminal says more", "server_error", None, "bug", {})
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    parameter, code = (error.parameter, error.code) if isinstance(error, Refusal) else (None, None)
    return _response(error.status_code, str(error.detail), kind, parameter, code, error.headers or {})


def _response(
    status: int, message: str, kind: str, parameter: str | None, code: str | None, headers: Mapping[str, str]
) -> JSONResponse:
    problem = {"message": message, "type": kind, "param": parameter, "code": code}
    return JSONResponse({"error": problem}, status, dict(headers))
