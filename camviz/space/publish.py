"""Publishing a Space: create or update it, and run it here as it would run there."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camviz.errors import SpaceError
from camviz.space.files import bundle, size, write_bundle
from camviz.space.rules import check
from camviz.space.spacefile import NAME, README, Profile, Spacefile
from camviz.space.tokens import redact_tokens


def publish_steps(space: Spacefile, profile: str | None = None) -> list[str]:
    """The requests that `publish` sends to the hub, in order, in words."""
    chosen = space.profile(profile)
    files = bundle(space, profile)
    total = sum(map(size, files.values())) / 1e6
    named = ", ".join(f"{key}={value}" for key, value in chosen.variables.items()) or "none"
    steps = [
        f"create the Space unless it exists: sdk {space.card['sdk']}, hardware {chosen.hardware}",
        f"set variables: {named}",
        f"upload {len(files)} files, {total:.1f} MB, in one commit; older files are deleted",
        f"ask for {chosen.hardware} if it runs on something else",
    ]
    if space.secrets:
        steps.append(f"left to you, on its settings page: the secrets {', '.join(space.secrets)}")
    return steps


def publish(
    space: Spacefile,
    name: str,
    profile: str | None = None,
    *,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> str:
    """Make the Space, or bring it up to date; returns its address. Safe to repeat.

    name: OWNER/NAME. private: visible to its owner alone; False changes no Space that exists.
    token, endpoint: those of huggingface_hub if None. report: called with a sentence after each
    step. A Space that was not published from a Spacefile is left alone. Raises `SpaceError` with
    what went wrong and what would do.
    """
    if wrong := check(space):
        raise SpaceError(f"not published: {wrong[0]}{_and_more(len(wrong) - 1)}")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.A):
        raise SpaceError(f"a Space is called OWNER/NAME, not '{redact_tokens(name, token)}'")
    chosen = space.profile(profile)

    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    token = token or get_token()
    if token is None:
        raise SpaceError(
            "nobody is logged in to Hugging Face; `hf auth login` keeps a token with write access "
            "on this machine, or set HF_TOKEN"
        )
    api = HfApi(endpoint=endpoint, token=token, library_name="camviz")
    try:
        return _create_or_update(api, space, name, chosen, private, report)
    except HfHubHTTPError as error:
        raise SpaceError(_refusal(error, name, chosen, token)) from None
    except HFValidationError as error:
        raise SpaceError(
            f"'{name}' cannot be the name of a Space: {redact_tokens(error)}"
        ) from None
    except (HTTPError, OSError) as error:
        raise SpaceError(
            f"{api.endpoint} cannot be reached ({type(error).__name__}); what was done before this "
            "stays, and the same command goes on from there"
        ) from None
    except ValueError as error:  # the front matter was refused
        raise SpaceError(f"the hub does not take it: {redact_tokens(error, token)}") from None


def _create_or_update(
    api: Any,
    space: Spacefile,
    name: str,
    chosen: Profile,
    private: bool,
    report: Callable[[str], None],
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(
            name,
            repo_type="space",
            private=private,
            space_sdk=space.card["sdk"],
            space_hardware=chosen.hardware,
            space_sleep_time=chosen.sleep_time,
            space_variables=[{"key": k, "value": value} for k, value in chosen.variables.items()],
        )
    except HfHubHTTPError as error:
        # 409: it is there. Who may not create Spaces, or not free of charge, may update their own.
        status = error.response.status_code
        if status != 409 and not (
            status in (402, 403) and api.repo_exists(name, repo_type="space")
        ):
            raise
    info = api.space_info(name)
    there = {row.rfilename for row in info.siblings or ()} - {".gitattributes", README}
    if there and NAME not in there:
        raise SpaceError(
            f"{name} exists and was not published from a {NAME} ({len(there)} other files are in "
            "it); it is left alone: choose another name"
        )
    url = f"{api.endpoint}/spaces/{name}"
    report(f"{url} is there")
    if private and not info.private:
        api.update_repo_settings(name, repo_type="space", private=True)
        report("made private")
    known = api.get_space_variables(name)
    for key, value in chosen.variables.items():
        if key not in known or known[key].value != value:
            api.add_space_variable(name, key, value)
            report(f"{key} set")
    files = bundle(space, chosen.name)
    commit = api.create_commit(
        name,
        repo_type="space",
        commit_message=f"camviz, profile {chosen.name}",
        operations=[
            *(CommitOperationAdd(path, content) for path, content in files.items()),
            *(CommitOperationDelete(path) for path in sorted(there - set(files))),
        ],
    )
    report(f"files are there: {commit.oid[:10]}")
    runtime = info.runtime
    wanted = runtime and (runtime.requested_hardware or runtime.hardware)
    if wanted and wanted != chosen.hardware:
        api.request_space_hardware(name, chosen.hardware, sleep_time=chosen.sleep_time)
        report(f"{chosen.hardware} asked for")
    for secret in space.secrets:
        report(f"the secret {secret} is yours to set: {url}/settings")
    return url


def _refusal(error: Any, name: str, chosen: Profile, token: str) -> str:
    """The meaning of a refusal of the hub, and what would do."""
    status = error.response.status_code
    owner = name.partition("/")[0]
    if status == 401:
        return (
            "the hub does not accept this token (401): it has expired, or was typed wrongly; "
            "`hf auth login` takes a new one"
        )
    if status == 402:
        needs = {
            "cpu-basic": "creating a Space on cpu-basic needs a PRO account or a paid team; "
            "`--profile` with hardware zero-a10g is free for accounts older than 30 days",
        }.get(
            chosen.hardware,
            "a free account may have two ZeroGPU Spaces, once it is 30 days old and its address "
            "is confirmed"
            if chosen.zero
            else f"{chosen.hardware} needs a way of payment: https://huggingface.co/settings/billing",
        )
        return f"the hub asks for payment (402): {needs}"
    if status == 403:
        return (
            f"this token may not write to {owner} (403): it needs write access, and you the right "
            f"to create Spaces there; https://huggingface.co/settings/tokens"
        )
    if status == 404:
        return f"the hub finds no {name} (404), or hides it from this token"
    if status == 409:
        return (
            f"{name} is being changed by somebody else at this moment (409); run the same command "
            "again"
        )
    if status == 429:
        after = error.response.headers.get("retry-after", "")
        wait = f"{after} seconds" if after.isdigit() else "a few minutes"
        return f"the hub was asked too often (429); run the same command again in {wait}"
    message = redact_tokens(error.server_message or error, token)
    return f"the hub answered {status}: {message}"


def _and_more(count: int) -> str:
    return f" (and {count} more; `python -m camviz space check` lists them)" if count else ""


def serve(space: Spacefile, profile: str | None = None, port: int = 7860) -> int:
    """Run here what the Space would run, from a copy of its files; returns the exit status.

    Its own variables are set, and of this folder only what would be published is there.
    """
    chosen = space.profile(profile)
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(space, profile, Path(folder))
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= chosen.variables
        environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
        app = [sys.executable, space.card["app_file"]]
        try:
            return subprocess.run(app, cwd=folder, env=environment).returncode
        except KeyboardInterrupt:
            return 0
