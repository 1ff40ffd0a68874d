"""A program that is started and has the warm server run another one in its place: ``warm_client.py ADDRESS ARGUMENTS``.

ARGUMENTS are those of Python. Streams, environment and working folder are this process's, and so is how it ends.
"""

import json
import os
import signal
import socket
import sys

address, *arguments = sys.argv[1:]
# As long as nothing else has taken the number of one that is closed.
streams = [number for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)) if stream]
run = {"argv": arguments, "env": dict(os.environ), "cwd": os.getcwd(), "streams": streams, "terminal": False}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(address)
    socket.send_fds(connection, [b"r"], streams)
    connection.sendall(json.dumps(run).encode())
    connection.shutdown(socket.SHUT_WR)
    with connection.makefile("rb") as answers:
        child = int(answers.readline())
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(child, number))
        code = os.waitstatus_to_exitcode(int(answers.readline()))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
