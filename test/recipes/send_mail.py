#!/usr/bin/env python3
"""send_mail.py: carry out effects of kind "mail", by SMTP

The payload of such an effect is {"to": ..., "subject": ..., "body": ...}.  Its
key goes with the mail, as the header X-Idempotency-Key: whoever receives a key
twice has the mail already.  That happens when this program, or its connection,
dies after the mail was accepted and before that was reported; what was claimed
is claimed again when the lease ends, and no mail is lost.

Run as many of them as you like.  psql finds the database by PGHOST, PGDATABASE and so on.
"""
import argparse
import json
import smtplib
import subprocess
import time
from email.message import EmailMessage

CLAIM = "SELECT coalesce(json_agg(e), '[]') FROM idem_import_effect_claim(:'kind', :batch, :'lease') e"
DONE = "SELECT idem_import_effect_done(:'key', :'token', :'result')"
FAIL = "SELECT idem_import_effect_fail(:'key', :'token', :'error')"


def sql(statement, **variables):
    """Run a statement in a transaction of its own; values reach it as psql variables."""
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    for name, value in variables.items():
        command += ["-v", f"{name}={value}"]
    return subprocess.run(command, input=statement, check=True, text=True, stdout=subprocess.PIPE).stdout


def send(options, key, payload):
    mail = EmailMessage()
    mail["From"] = options.sender
    mail["To"] = payload["to"]
    mail["Subject"] = payload.get("subject", "")
    mail["X-Idempotency-Key"] = key
    mail.set_content(payload.get("body", ""))
    with smtplib.SMTP(options.host, options.port, timeout=options.lease / 2) as server:
        server.send_message(mail)


def carry_out(options, effect):
    try:
        send(options, effect["key"], effect["payload"])
    except (smtplib.SMTPException, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        sql(FAIL, key=effect["key"], token=effect["token"], error=repr(error))
    else:
        sql(DONE, key=effect["key"], token=effect["token"], result=json.dumps({"to": effect["payload"]["to"]}))


def main():
    parser = argparse.ArgumentParser(description="carry out effects of kind mail")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=25)
    parser.add_argument("--sender", default="noreply@localhost")
    parser.add_argument("--kind", default="mail")
    parser.add_argument("--batch", type=int, default=10, help="claim so many at once")
    parser.add_argument("--lease", type=float, default=60, help="seconds in which a batch must be sent")
    parser.add_argument("--pause", type=float, default=1, help="seconds to wait when nothing is due")
    options = parser.parse_args()

    while True:
        claimed = json.loads(sql(CLAIM, kind=options.kind, batch=options.batch, lease=f"{options.lease} s"))
        for effect in claimed:
            carry_out(options, effect)
        if not claimed:
            time.sleep(options.pause)


if __name__ == "__main__":
    main()
