"""What is downloaded comes over https alone, on every hop; http is for servers on this machine."""

from functools import cache
from typing import Any

from codecfake.manifests.errors import CodecfakeError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def refuse_plain_http(request: Any) -> None:
    """Refuse a request that anyone on the way could answer; a hook of httpx, called for every redirect too.

    Args:
        request: Of httpx, or of the HTTP library under the hub client, which is one like it.

    Raises:
        CodecfakeError: If it is neither https nor to this machine.
    """
    if request.url.scheme != "https" and request.url.host not in LOOPBACK:
        raise CodecfakeError(f"{request.url} is not https; nothing was downloaded from it")


@cache
def hub_over_https() -> None:
    """Make every client of the Hugging Face hub refuse plain http, in ``HF_ENDPOINT`` and behind redirects.

    After an error of the connection the hub makes itself a new client.
    """
    from huggingface_hub import get_session, set_client_factory

    plain = get_session()
    make, hooks = type(plain), plain.event_hooks

    def guarded() -> Any:
        client = make(follow_redirects=True, timeout=None)
        client.event_hooks = {**hooks, "request": [*hooks["request"], refuse_plain_http]}
        return client

    set_client_factory(guarded)
