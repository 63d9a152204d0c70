"""Small helpers for error messages."""


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
