"""Credentials are taken out of text; digests, commits, names and figures stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetune_api.scrub import credentials, scrub, scrub_document

HF = "hf_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3h"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"
COMMIT = "7ae557604adf67be50417f59c2c2f167def9a775"
DIGEST = f"sha256:{COMMIT}{COMMIT[:24]}"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("GET https://me:s3cr3t@host/x failed", "GET https://***@host/x failed"),
        ("https://ghtoken@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("https://me:p@ss@host/x", "https://***@host/x"),
        ("s3://AK:sk@bucket/data", "s3://***@bucket/data"),
        ("postgresql://u:pw@db:5432/x", "postgresql://***@db:5432/x"),
        ("https://h/d.jsonl?token=abc&part=2", "https://h/d.jsonl?token=***&part=2"),
        ("https://h/d?sv=2024&sig=a%2Bb%3D", "https://h/d?sv=2024&sig=***"),
        (
            "https://b.s3/x?X-Amz-Credential=AK%2Fd&X-Amz-Date=2026&X-Amz-Signature=0a1b",
            "https://b.s3/x?X-Amz-Credential=***&X-Amz-Date=2026&X-Amz-Signature=***",
        ),
        ("https://h/x?X-Goog-Signature=00ff&a=b", "https://h/x?X-Goog-Signature=***&a=b"),
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("{'authorization': 'Basic dTpw', 'accept': '*/*'}", "{'authorization': '***', 'accept': '*/*'}"),
        ("sent Bearer abcdefgh12345678 to it", "sent Bearer *** to it"),
        ("Cookie: session=1; other=2", "Cookie: ***"),
        (f"401 for {HF}", "401 for ***"),
        (f"token {JWT} expired", "token *** expired"),
        ("key sk-proj-abcdefghijklmnop1234 is wrong", "key *** is wrong"),
        ("AKIAIOSFODNN7EXAMPLE may not", "*** may not"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "***"),
        ("nvapi-0123456789_abcdefghijABCDEF", "***"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "AWS_SECRET_ACCESS_KEY=***"),
        ('{"apiKey": "abcdef", "n": 1}', '{"apiKey": "***", "n": 1}'),
        ("password: hunter2", "password: ***"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIE\nabc\n-----END PRIVATE KEY-----\nrest",
            "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\nrest",
        ),
    ],
)
def test_takes_credentials_out(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        f"model hf://Qwen/Qwen2.5-0.5B-Instruct@{COMMIT}",
        f"digest {DIGEST}",
        "hf://gpt2@main",
        "pvc://datasets/support.jsonl",
        "ssh://git@github.com/a/b",
        "https://example.com/a?page=2&sort=name#part",
        "10412 examples, 5,100 tokens: 12 dropped",
        "step 120/900, loss=1.92, tokens_per_second=5100",
        'secret "hf-token" not found',
        "check model.uri, its revision, and the token in credentialsSecret",
        "the pad_token=<|endoftext|> is no token of its own",
        "Basic authentication is off; the bearer of responsibilities",
        "support-bot-train-3f2a9c1d-0-x7k2p on node gpu-a-7",
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        "hf_transfer and hf_hub_download",
        "2026-11-24T12:00:00Z INFO authorization failed for user",
        "mail me@example.com",
    ],
)
def test_leaves_ordinary_text_alone(text: str) -> None:
    assert scrub(text) == text


def test_known_values_are_taken_out_wherever_they_stand() -> None:
    known = credentials({"HF_TOKEN": "canary+value", "PATH": "/usr/bin:/bin"})
    assert known == ("canary+value",)
    assert scrub("x canary+value y ?q=canary%2Bvalue", known) == "x *** y ?q=***"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HF_TOKEN", "abcdefgh", True),
        ("WANDB_API_KEY", COMMIT, True),
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh", True),
        ("S3_PASSWORD", "abcdefgh", True),
        ("MLFLOW_TRACKING_TOKEN", "abcdefgh", True),
        ("hfToken", "abcdefgh", True),
        ("TOKENIZERS_PARALLELISM", "disabled", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/var/run/gcp.json", False),
        ("MAX_TOKENS_KEY", "4096", False),
        ("HOSTNAME", "abcdefgh", False),
        ("KEYBOARD", "abcdefgh", False),
    ],
)
def test_tells_credentials_by_their_names(name: str, value: str, secret: bool) -> None:
    assert (value in credentials({name: value})) is secret


def test_the_password_of_a_proxy_is_a_credential() -> None:
    assert credentials({"HTTPS_PROXY": "http://me:pa%20ssword@proxy:3128"}) == ("pa%20ssword", "pa ssword")


def test_documents_keep_their_shape() -> None:
    document = {"message": f"no {HF}", "list": [HF, 1, None], "digest": DIGEST}
    assert scrub_document(document) == {"message": "no ***", "list": ["***", 1, None], "digest": DIGEST}


PARTS = (
    "https:// a:b@ ?token= &sig= Authorization: Bearer sk- password= *** hunter22 -----BEGIN -----END PRIVATE KEY-----"
)
PIECES = st.sampled_from([HF, JWT, *PARTS.split(), *"\"' \n\\:@/=x1"])
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=12).map("".join)


@given(TEXTS, st.lists(st.text(min_size=1, max_size=12), max_size=2))
def test_scrubbing_twice_is_scrubbing_once_and_never_doubles_a_text(text: str, secrets: list[str]) -> None:
    once = scrub(text, secrets)
    assert scrub(once, secrets) == once
    assert len(once) <= 2 * len(text)


@given(st.text(max_size=20), st.text(max_size=20), st.text("abcABC012+/=", min_size=8, max_size=40))
def test_a_known_secret_never_remains(before: str, after: str, secret: str) -> None:
    secret = f"s{secret}"
    assert secret not in scrub(before + secret + after, [secret])


@given(st.text("0123456789abcdef", min_size=40, max_size=64), st.sampled_from(["", "sha256:", "commit ", "rev="]))
def test_hashes_stay(value: str, before: str) -> None:
    assert scrub(before + value) == before + value
