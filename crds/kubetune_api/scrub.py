"""Credentials are taken out of text before anybody can read it: logs, status, events, reports, termination messages.

Three nets, one behind the other: values that are known to be secret (of environment variables whose names say so),
places where secrets stand (user:password@ and ?token= in URIs, Authorization headers, password=...), and the shapes of
the keys of well-known providers. A digest, a commit or a name is none of them and stays as it is.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

REDACTED = "***"
#: A shorter value, such as `true`, is in too many words to be taken out of a text.
SHORTEST_SECRET = 6
_PASSES = 8

T = TypeVar("T")

#: A word for a secret as a part of a longer name: api_key, HF_TOKEN, X-Amz-Signature.
_WORDS = (
    r"(?:token|secret|passw(?:or)?d|passphrase|signature|credentials?"
    r"|api[_-]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key|private[_-]?key|auth)"
)
_VALUE = r"""[^\s"'`<>&;,(){}\\]"""
_HEADER_END = r"""[^"'\r\n}\\]"""

#: What stands before a secret is the group `kept`; the rest of the match is taken out.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # -----BEGIN RSA PRIVATE KEY-----
        r"(?P<kept>-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?!\*\*\*)"
        r"(?s:.{1,10000}?)(?=-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)",
        # https://user:password@host, https://token@host; s3://key:secret@bucket
        r"(?P<kept>\b(?i:https?|ftp)://)[^\s/?#\"']{1,500}(?=@)",
        r"(?P<kept>\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/?#\"':@]{0,200}:[^\s/?#\"']{1,500}(?=@)",
        # ?token=, &X-Amz-Signature=, &sig=
        rf"(?P<kept>[?&;](?i:[\w.-]{{0,40}}{_WORDS}[\w.-]{{0,20}}|sig|key|pwd|jwt|awsaccesskeyid)=){_VALUE}+",
        # Authorization: Bearer ..., Cookie: ...
        rf"(?P<kept>\b(?i:(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token)[\"']?\s{{0,3}}[:=]\s{{0,3}}"
        rf"[\"']?(?!\s)){_HEADER_END}+",
        rf"(?P<kept>\b(?:Bearer|bearer|Basic|Token)\s{{1,3}})(?=\S{{0,200}}\d){_VALUE}{{12,}}",
        # password=..., "token": "...", AWS_SECRET_ACCESS_KEY=...
        rf"(?P<kept>\b(?i:[\w-]{{0,40}}{_WORDS})[\"']?=[\"']?)(?=[^\s\"']{{0,200}}[\d+/_-]){_VALUE}{{8,}}",
        rf"(?P<kept>[\"'](?i:[\w-]{{0,40}}{_WORDS})[\"']\s{{0,3}}[:=]\s{{0,3}}[\"']){_VALUE}{{6,}}",
        r"(?P<kept>\b(?i:passw(?:or)?d|passphrase)\s{0,3}[:=]\s{0,3}[\"']?)" + _VALUE + r"{4,}",
        # Keys of providers, by their shape.
        r"(?P<kept>)(?<![A-Za-z0-9_-])(?:"
        r"hf_[A-Za-z0-9]{16,}|hf_oauth_[A-Za-z0-9._-]{16,}|api_org_[A-Za-z0-9]{16,}"
        r"|sk-(?=[A-Za-z0-9_-]{0,200}\d)[A-Za-z0-9_-]{20,}|(?:sk|rk|pk)_live_[A-Za-z0-9]{16,}"
        r"|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
        r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA|AROA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
        r"|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|nvapi-[A-Za-z0-9_-]{20,}|wandb_v1_[A-Za-z0-9_-]{20,}"
        r"|dckr_pat_[A-Za-z0-9_-]{20,}|dapi[a-f0-9]{32}|pypi-[A-Za-z0-9_-]{40,}|npm_[A-Za-z0-9]{30,}"
        r"|r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}"
        r"|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{0,2000})?"
        r")",
    )
)
_MARKED = re.compile(r"\*{3,}")
_CREDENTIAL_NAME = re.compile(
    r"(?:^|[_.-])(?:TOKEN|TOKENS|PAT|SECRETS?|PASSWORD|PASSWD|PWD|PASSPHRASE|SIGNATURE|CREDENTIALS?|AUTH|KEY|APIKEY|DSN"
    r"|SAS|WEBHOOK|CONNECTION_STRING)(?:[_.-]|\d*$)"
)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without credentials; what was taken out reads `***`.

    `secrets` are values that are known, as `credentials` finds them. A text that was scrubbed stays as it is.
    """
    return _scrub(text, tuple(_forms(secrets)))


@functools.lru_cache(maxsize=4096)
def _scrub(text: str, known: tuple[str, ...]) -> str:
    """Repeat until nothing changes: what is taken out may leave something beside it that looks like a secret."""
    for _ in range(_PASSES):
        before = text
        for value in known:
            text = text.replace(value, REDACTED)
        for pattern in _PATTERNS:
            text = pattern.sub(_redact, text)
        if text == before:
            break
    return text


def scrub_document(value: T, secrets: Iterable[str] = ()) -> T:
    """Return a JSON document with every text in it scrubbed; keys stay as they are."""
    known = tuple(secrets)
    return _scrubbed(value, known)  # type: ignore[no-any-return]


def credentials(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of an environment that must not be shown: of variables named like a credential, and passwords
    in addresses such as that of a proxy."""
    found: set[str] = set()
    for name, value in environ.items():
        if _is_credential_name(name) and _may_be_secret(value):
            found.update(line.strip() for line in [value, *value.splitlines()] if _may_be_secret(line.strip()))
        found.update(_passwords(value))
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def _redact(match: re.Match[str]) -> str:
    kept = match["kept"]
    rest = match[0][len(kept) :]
    return match[0] if _MARKED.fullmatch(rest) else kept + REDACTED


def _scrubbed(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, Mapping):
        return {name: _scrubbed(entry, secrets) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(entry, secrets) for entry in value]
    return value


def _forms(secrets: Iterable[str]) -> list[str]:
    """Return the secrets as they may stand in a text, the longest first: as they are, and as a part of a URI."""
    forms = {form for value in secrets if _may_be_secret(value) for form in (value, quote(value, safe=""))}
    return sorted(forms, key=lambda form: (-len(form), form))


def _is_credential_name(name: str) -> bool:
    # HfToken and apiKey are read as HF_TOKEN and API_KEY.
    return _CREDENTIAL_NAME.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()) is not None


def _may_be_secret(value: str) -> bool:
    """Tell a value that can be taken out of a text from one that is no secret: short, a number, a path of this machine,
    or nothing but the mark itself."""
    if len(value) < SHORTEST_SECRET or value.strip("*") == "":
        return False
    return not value.isdecimal() and not value.startswith(("/", "./"))


def _passwords(value: str) -> list[str]:
    if "://" not in value or "@" not in value:
        return []
    try:
        password = urlsplit(value).password
    except ValueError:
        return []
    return [form for form in (password, unquote(password)) if _may_be_secret(form)] if password else []
