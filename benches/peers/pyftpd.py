#!/usr/bin/env python3
"""pyftpdlib on equal terms with the other servers: HOST PORT LOW HIGH ROOT CERTIFICATE-AND-KEY LOG."""

import logging
import resource
import sys

import pyftpdlib
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

if sys.argv[1:] == ["--version"]:
    sys.exit(f"pyftpdlib {pyftpdlib.__ver__}")
host, port, low, high, root, certificate, log = sys.argv[1:]

try:
    from pyftpdlib.handlers import TLS_FTPHandler

    class Handler(TLS_FTPHandler):
        certfile = certificate

except ImportError:  # PyOpenSSL is missing, and with it TLS.

    class Handler(FTPHandler):
        pass


limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
logging.basicConfig(filename=log, level=logging.INFO)
Handler.authorizer = DummyAuthorizer()
Handler.authorizer.add_anonymous(root, perm="elradfmwMT")
Handler.passive_ports = range(int(low), int(high) + 1)
server = FTPServer((host, int(port)), Handler)
server.max_cons = 0
server.serve_forever()
