"""HTML pages that need nothing beside them."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from trimtab.console import words
from trimtab.errors import PermanentError


def page(template: str, /, *sheets: str, **values: Any) -> str:
    """One of the templates with these values, and with the sheets as its `style`. Raises PermanentError when jinja2 is
    not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # only a page needs it
    except ImportError as error:
        raise PermanentError("a report needs jinja2", hint="pip install 'trimtab[report]'") from error
    environment = Environment(
        loader=PackageLoader("trimtab.console"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["words"] = words
    folder = files("trimtab.console").joinpath("templates")
    style = "".join(folder.joinpath(sheet).read_text("utf-8") for sheet in sheets)
    return environment.get_template(template).render(style=style, **values)
