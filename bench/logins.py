"""Eight people who sign in with a password over and over, until standard input closes.

A process of its own, so that it shares no interpreter lock with what is measured meanwhile. Prints
how many sign-ins succeeded and how many did not.
"""

import http.client
import json
import sys
import threading

from stage import LOAD_USERS, PASSWORD

_stop = threading.Event()


def sign_in_over_and_over(port, user, counts):
    """One person; counts[0] successes, counts[1] everything else."""
    body = json.dumps({"user": user, "password": PASSWORD})
    while not _stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(
                "POST", "/v1/login", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            counts[0 if answer.status == 200 else 1] += 1
            if answer.status != 200 and counts[1] == 1:
                print(said.decode(errors="replace"), file=sys.stderr)
        except (OSError, http.client.HTTPException):
            counts[1] += 1
        finally:
            connection.close()


def main():
    """`logins.py PORT`."""
    counts = [[0, 0] for _ in LOAD_USERS]
    threads = [
        threading.Thread(target=sign_in_over_and_over, args=(int(sys.argv[1]), user, count))
        for user, count in zip(LOAD_USERS, counts)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    _stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({
        "succeeded": sum(count[0] for count in counts),
        "refused": sum(count[1] for count in counts)}))


if __name__ == "__main__":
    main()
