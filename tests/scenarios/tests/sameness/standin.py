"""Stands for ssh before plain Mercurial: `standin.py SOCKET [OPTIONS] HOST "hg -R REPOSITORY serve --stdio"`.

The server that listens on SOCKET (plain.py) serves on this process's own descriptors.
"""

import array
import os
import socket
import sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
descriptors = array.array("i", [0, 1, 2])
connection.sendmsg([sys.argv[-1].encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
for descriptor in descriptors:
    os.close(descriptor)
code = connection.recv(1)
os._exit(code[0] if code else 255)
