"""Says what torch sees on this host, as JSON. To be replaced by your app."""

import http.server
import json
import sys

import torch


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("hello.json", encoding="utf-8") as file:
            told = json.load(file)
        told.update(torch=torch.__version__, cuda=torch.version.cuda)
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Hello).serve_forever()
