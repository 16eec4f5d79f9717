"""Faults of requests in our words, because those of pydantic name its classes."""

from pydantic import ValidationError

from contract.requests import PLAIN

_SENTENCES: dict[str, str] = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_unicode": PLAIN,
    "too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "model_type": "must be an object",
    "string_pattern_mismatch": "must be as a browser gives it, in base64url",
}


def sentence(error: ValidationError) -> str:
    """The first fault, in our words: those of pydantic name its classes."""
    fault = error.errors(include_url=False, include_input=False)[0]
    context = fault.get("ctx", {})
    words = _SENTENCES.get(fault["type"])
    said = words.format(**context) if words else fault["msg"]
    if context.get("min_length") == 1:
        said = "must not be empty"
    member = ".".join(map(str, fault["loc"]))
    return f"{member} {said}.".strip()
