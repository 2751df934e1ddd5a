"""The tree of errors that OPAA raises on purpose.

OpaaError
├── SettingsError          a setting is unknown, malformed or unsafe
├── NotFoundError          no such thing, or not for this principal
├── ConflictError          the thing exists already, or changed meanwhile
├── InvalidInputError      the caller's input cannot be used
│   └── TooLargeError      the input is over a limit
├── AuthenticationError    nobody is logged in, or the credential is wrong
├── PermissionDeniedError  somebody is logged in, but may not do this
├── UnavailableError       something this needs is down; trying again later may help
│   ├── DatabaseUnavailableError
│   ├── EmbedderUnavailableError
│   └── ModelUnavailableError   the language model failed, timed out or is not configured
├── StorageFullError       the disk is full
└── ExtractionError        a document's bytes could not be turned into text
"""


class OpaaError(Exception):
    """Base of every deliberate error.

    `code` is stable and public (it is the last part of a problem document's `type`); `status` is the HTTP status.
    The message is one sentence for a person, names the thing and the value, and holds no secret.
    """

    code = "error"
    status = 500

    @property
    def message(self) -> str:
        return str(self)


class SettingsError(OpaaError):
    code = "settings"


class NotFoundError(OpaaError):
    code = "not-found"
    status = 404


class ConflictError(OpaaError):
    code = "conflict"
    status = 409


class InvalidInputError(OpaaError):
    code = "invalid-input"
    status = 422


class TooLargeError(InvalidInputError):
    code = "too-large"
    status = 413


class AuthenticationError(OpaaError):
    code = "authentication"
    status = 401


class PermissionDeniedError(OpaaError):
    code = "permission-denied"
    status = 403


class UnavailableError(OpaaError):
    code = "unavailable"
    status = 503


class DatabaseUnavailableError(UnavailableError):
    code = "database-unavailable"


class EmbedderUnavailableError(UnavailableError):
    code = "embedder-unavailable"


class ModelUnavailableError(UnavailableError):
    """The language model failed, timed out or is not configured.

    `reason` is one of the stable words in `opaa.llm.chat.Reason`, fit for a metric's label.
    """

    code = "model-unavailable"

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class StorageFullError(OpaaError):
    code = "storage-full"
    status = 507


class ExtractionError(OpaaError):
    """A document's bytes could not be turned into text.

    `reason` is one of the stable words in `opaa.extraction.port.Reason`.
    """

    code = "extraction"
    status = 422

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
