"""Asks for what each line names, with google-auth and application default credentials, and answers each in a line. The
first word says what the answer is, by the code and the type of the error; "ok" is what was asked for. With the argument
idtoken it asks for identity tokens.
"""
import json
import sys
import urllib.parse

import google.auth
import google.auth.transport.requests
import google.oauth2.id_token
import requests
from google.auth import exceptions

KINDS = {401: "unauthenticated", 403: "denied"}


def kind(err):
    seen = []
    while err is not None and len(seen) < 20:
        seen.append(err)
        err = err.__cause__ or err.__context__ or next((a for a in err.args if isinstance(a, BaseException)), None)
    for e in seen:
        if isinstance(e, exceptions.RefreshError):
            for a in e.args:
                if isinstance(a, dict) and a.get("error") == "invalid_grant":
                    return "invalid_grant"
    if any(isinstance(e, (ConnectionRefusedError, requests.exceptions.ConnectionError)) for e in seen):
        return "unreachable"
    return "failed"


def read(what):
    global session
    if session is None:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        session = google.auth.transport.requests.AuthorizedSession(credentials)
    bucket, name = what.split("/", 1)
    url = f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
    answer = session.get(url)
    if answer.ok:
        return f"ok {answer.text}"
    reason = ""
    try:
        reason = answer.json()["error"]["errors"][0]["reason"]
    except (ValueError, KeyError, TypeError):
        pass
    return f"{KINDS.get(answer.status_code, 'failed')} {reason} {answer.text}"


def identity(audience):
    return "ok " + google.oauth2.id_token.fetch_id_token(google.auth.transport.requests.Request(), audience)


session = None
ask = identity if sys.argv[1:] == ["idtoken"] else read
for line in sys.stdin:
    try:
        text = ask(line.strip())
    except Exception as err:
        text = f"{kind(err)} {err}"
    print(" ".join(text.split()), flush=True)
