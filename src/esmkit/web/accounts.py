"""Logging in and out: an API key for a session, and back."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from esmkit.server import sessions
from esmkit.server.answers import json_response
from esmkit.web.requests import read

router = APIRouter(prefix="/web", include_in_schema=False)


class Login(BaseModel):
    """Who wants in."""

    key: str = Field(max_length=200)


@router.post("/login")
async def login(request: Request) -> Response:
    """Begins a session."""
    asked = await read(request, Login)
    begun = await sessions.begin(request, asked.key)
    return json_response({"name": begun.key.name, "admin": begun.key.admin}, headers={"Set-Cookie": begun.cookie})


@router.post("/logout")
async def logout(request: Request) -> Response:
    """Ends the session."""
    return json_response({"status": "ok"}, headers={"Set-Cookie": await sessions.end(request)})
