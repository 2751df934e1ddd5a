"""Prints the OpenAPI document, from which the web UI's types are generated: `python -m opaa.api.openapi`."""

import json
import sys

from fastapi import FastAPI

from opaa.api.app import create_app
from opaa.settings import load


def document() -> str:
    """The OpenAPI 3.1 document of the default configuration, as sorted JSON."""
    app = create_app(load({})).app
    if not isinstance(app, FastAPI):
        raise TypeError("the application is not where it is expected")
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
