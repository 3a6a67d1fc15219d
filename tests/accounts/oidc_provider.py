"""A small OpenID provider in a process of its own: discovery, keys, authorize, token (RS256, PKCE), userinfo.

    python tests/accounts/oidc_provider.py PORT

Everybody is signed in at /authorize at once, as the person that ``POST /next`` described last; ``POST /next`` may also
ask for mistakes: ``{"claims": {...}, "id_token": {...}, "header": {...}, "sign_with": "other|none|hs256"}``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "picha", "a-client-secret"
KEY, OTHER_KEY = (rsa.generate_private_key(65537, 2048) for _number in range(2))
state: dict = {"codes": {}, "tokens": {}, "next": {}, "asked": []}


def jwk() -> dict:
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    return {**public, "kid": "key-1", "use": "sig", "alg": "RS256"}


class Provider(BaseHTTPRequestHandler):
    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def log_message(self, *args: object) -> None:
        """Silence."""

    def answer(self, body: dict, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            self.answer(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "jwks_uri": f"{self.issuer}/jwks",
                }
            )
        elif url.path == "/jwks":
            self.answer({"keys": [jwk()]})
        elif url.path == "/authorize":
            self.authorize({name: values[0] for name, values in parse_qs(url.query).items()})
        elif url.path == "/userinfo":
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            claims = state["tokens"].get(token)
            self.answer(claims or {"error": "invalid_token"}, 200 if claims else 401)
        elif url.path == "/asked":
            self.answer({"asked": state["asked"]})
        else:
            self.answer({"error": "not_found"}, 404)

    def authorize(self, asked: dict) -> None:
        state["asked"].append(asked)
        if asked.get("client_id") != CLIENT or asked.get("code_challenge_method") != "S256":
            self.answer({"error": "invalid_request"}, 400)
            return
        code = secrets.token_urlsafe(8)
        state["codes"][code] = asked
        target = asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/next":
            state["next"] = json.loads(body)
            self.answer({})
        elif self.path == "/token":
            self.token({name: values[0] for name, values in parse_qs(body).items()})
        else:
            self.answer({"error": "not_found"}, 404)

    def token(self, given: dict) -> None:
        asked = state["codes"].pop(given.get("code", ""), None)
        verifier = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if (
            asked is None
            or given.get("client_secret") != SECRET
            or challenge != asked["code_challenge"]
            or given.get("redirect_uri") != asked["redirect_uri"]
        ):
            self.answer({"error": "invalid_grant"}, 400)
            return
        wanted, now = state["next"], int(time.time())
        claims = {"sub": "subject-1", **wanted.get("claims", {})}
        payload = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked.get("nonce"),
            "auth_time": now,
            "sub": claims["sub"],
            **wanted.get("id_token", {}),
        }
        access_token = secrets.token_urlsafe(8)
        state["tokens"][access_token] = claims
        id_token = sign({name: value for name, value in payload.items() if value is not None}, wanted)
        self.answer({"access_token": access_token, "token_type": "Bearer", "id_token": id_token})


def sign(payload: dict, wanted: dict) -> str:
    header = {"kid": "key-1", **wanted.get("header", {})}
    how = wanted.get("sign_with", "")
    if how == "none":
        return jwt.encode(payload, None, algorithm="none", headers=header)
    if how == "hs256":  # signed with what everybody may know
        return jwt.encode(payload, SECRET, algorithm="HS256", headers=header)
    return jwt.encode(payload, OTHER_KEY if how == "other" else KEY, algorithm="RS256", headers=header)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
