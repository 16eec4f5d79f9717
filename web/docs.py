"""The interactive documentation: Swagger UI with its assets, which needs no internet."""

from importlib.resources import files

from flask import Blueprint, Response, render_template, request
from flask import current_app as app
from flask.typing import ResponseReturnValue

from contract import openapi

docs = Blueprint(
    "docs",
    __name__,
    url_prefix="/api",
    static_folder=str(files("flask_swagger_ui") / "dist"),
    static_url_path="/docs/assets",
)


@docs.get("/openapi.json", endpoint="openapi")
def openapi_document() -> ResponseReturnValue:
    """The contract as OpenAPI 3.1."""
    return openapi.document(app.url_map) | {"servers": [{"url": request.script_root or "/"}]}


@docs.get("/docs")
def docs_page() -> ResponseReturnValue:
    """The contract, to try out."""
    return render_template("docs.html")


@docs.after_request
def restrict(response: Response) -> Response:
    """Swagger UI sets style attributes and has images in its style sheet; it runs no script that
    is not a file of ours."""
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response
