"""Reads an object for each BUCKET/NAME that it is given in a line, with google-auth and
application default credentials. It answers in a line: the status and the text, or why not.
"""
import sys
import urllib.parse

import google.auth
from google.auth.transport.requests import AuthorizedSession

session = None
for line in sys.stdin:
    bucket, name = line.strip().split("/", 1)
    url = f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
    try:
        if session is None:
            credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
            session = AuthorizedSession(credentials)
        answer = session.get(url)
        text = f"{answer.status_code} {answer.text}"
    except Exception as err:
        text = f"failed: {err}"
    print(" ".join(text.split()), flush=True)
