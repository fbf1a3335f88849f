"""Requests in a row leave as each of them would by itself, whatever was asked, refused or renewed before."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.plugin import Request, Session
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.transport.base import Origin
from dragoman.transport.http_encode import RequestEncoder
from reference.session_toys import OK, Rig, ToyAdapter

CANNOT_BE_WRITTEN = (("symbol", "\ud800"),)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/", "/orders", "/orders/1"]),
    query=st.sampled_from([(), (("a", "1"),), CANNOT_BE_WRITTEN]),
    headers=st.sampled_from([(), (("X-A", "1"),), (("X-A", "2"),)]),
    form=st.sampled_from([None, (("qty", "1"),), (("qty", "22"),)]),
    auth=st.booleans(),
    mutates=st.booleans(),
    meter=st.sampled_from(["default", "orders"]),
)
STEPS = st.lists(st.one_of(REQUESTS, st.sampled_from(["token-1", "token-2", "logout"])), max_size=8)


class ByLogin(ToyAdapter):
    """Authorizes by its login alone; what it adds depends on all that may count."""

    authorizes_by_login = True

    def authorize(self, request, body, ctx):
        token = ctx.login["access_token"].reveal() if "access_token" in ctx.login else "none"
        shown = f"{token} {request.method} {request.path} {request.query}"
        return request.but(headers=(*request.headers, ("Authorization", shown)))


class BySignature(ByLogin):
    """Signs the body, too."""

    authorizes_by_login = False

    def authorize(self, request, body, ctx):
        signed = super().authorize(request, body, ctx)
        return signed.but(headers=(*signed.headers, ("X-Signature", body.decode())))


class InTheBody(ByLogin):
    """Says that it authorizes by the login, and writes the token into the form."""

    def authorize(self, request, body, ctx):
        signed = super().authorize(request, body, ctx)
        if request.form is None or "access_token" not in ctx.login:
            return signed
        return signed.but(form=(*request.form, ("token", ctx.login["access_token"].reveal())))


class AsItIs(ToyAdapter):
    """Adds nothing."""

    headers = ()

    def authorize(self, request, body, ctx):
        return request


def asked(request):
    yield request


async def left(rig, request, *, warm):
    """Return the bytes that leave, or the name of the error."""
    rig.http.lines = warm
    rig.http.default = OK
    before = len(rig.http.sent)
    try:
        await rig.run(asked(request))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return type(error).__name__
    (sent,) = rig.http.sent[before:]
    assert (sent.method, sent.target.partition("?")[0]) == (request.method, f"/v1{request.path}")
    return RequestEncoder(Origin("https", "api.toy.example", 443), "dragoman").encode(sent)


@pytest.mark.parametrize("kind", [ByLogin, BySignature, InTheBody, AsItIs])
@given(steps=STEPS, warm=st.booleans())
@example(steps=[Request()], warm=False)
def test_nothing_of_an_earlier_request_leaves_with_a_later_one(kind, steps, warm):
    with VirtualRuntime(seed=1) as runtime:

        async def main():
            login = Session("canary-token-77", "AC1", {})
            rig = Rig(runtime, adapter=kind())
            for step in steps:
                if step == "logout":
                    login = None
                    rig.ctx.drop()
                elif isinstance(step, str):
                    login = Session(step, "AC1", {})
                    rig.ctx.adopt(login)
                else:
                    alone = Rig(runtime, adapter=kind())
                    alone.ctx.drop()
                    if login is not None:
                        alone.ctx.adopt(login)
                    assert await left(rig, step, warm=warm) == await left(alone, step, warm=warm)

        runtime.run(main())
