#!/usr/bin/env python3
"""Serves a folder of previews on loopback like a preview CDN, well or badly as the path asks.

    previewd.py --root corpus/previews --port 0 --port-file port --limit 50/5 --rtt-ms 100

Paths are explained in behaviours.py. GET /stats gives counts as JSON, POST /stats/reset clears
them. Only for tests: it binds loopback addresses and nothing else.
"""

import argparse
import ipaddress
import os
import resource
import signal
import sys

from behaviours import Chaos, Site
from limits import Watch, parse_limit
from search import Api, SearchSite, Songs
from server import Options, Previews, Server


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--root", required=True, metavar="DIR", help="folder of the previews")
    add("--host", default="127.0.0.1", help="loopback address to bind (127.0.0.1)")
    add("--port", type=int, default=0, help="0 takes a free one (0)")
    add("--port-file", metavar="FILE", help="written with the port once it is open")
    add("--limit", metavar="N/SECONDS", help="count requests over this limit")
    add("--enforce", action="store_true", help="answer 429 to requests over the limit")
    add("--client-header", default="", metavar="NAME", help="header that tells clients apart")
    add("--rtt-ms", type=float, default=0, help="round trip to imitate (0)")
    add("--jitter", type=float, default=0, help="0..1: how much it varies (0)")
    add("--chaos", default="", metavar="NAME=SHARE,...", help="behaviours by chance")
    add("--seed", default="1", help="for jitter and chaos (1)")
    add("--log", metavar="FILE", help="a line for each request")
    add("--songs", metavar="CSV", help="answer searches over these songs")
    add("--cdn", default="", metavar="BASE", help="where links of searches lead (here)")
    add("--link-life", type=float, default=900, metavar="S", help="of signed links (900)")
    add("--preview", default="preview", metavar="NAME", help="what all links of searches give")
    add("--max-seconds", type=float, default=600, help="exit by itself after this time (600)")
    args = parser.parse_args()
    if not ipaddress.ip_address(args.host).is_loopback:
        parser.error(f"--host {args.host} is not a loopback address")
    if not os.path.isdir(args.root):
        parser.error(f"--root {args.root} is not a folder")
    if not 0 <= args.jitter <= 1 or args.rtt_ms < 0 or args.max_seconds <= 0:
        parser.error("need 0 <= --jitter <= 1, --rtt-ms >= 0, --max-seconds > 0")
    return args


def make_server(args, log):
    options = Options(rtt_s=args.rtt_ms / 1000, jitter=args.jitter, enforce=args.enforce,
                      client_header=args.client_header, max_seconds=args.max_seconds,
                      seed=args.seed)
    previews, chaos = Previews(args.root), Chaos(args.chaos, args.seed)
    watch = Watch(*parse_limit(args.limit)) if args.limit else None
    if not args.songs:
        return Server(Site(previews, chaos), watch, options, args.host, args.port, log)
    api = Api(Songs(args.songs), args.cdn, args.link_life)
    server = Server(SearchSite(previews, chaos, api, args.preview), watch, options, args.host,
                    args.port, log)
    api.cdn = args.cdn or f"http://{args.host}:{server.port}"
    return server


def main():
    args = parse_arguments()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor for each connection
    log = open(args.log, "w", buffering=1, encoding="utf-8") if args.log else None
    server = make_server(args, log)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    if args.port_file:
        # By rename, so that whoever waits for the file never reads half a number.
        with open(args.port_file + ".part", "w", encoding="ascii") as file:
            file.write(f"{server.port}\n")
        os.replace(args.port_file + ".part", args.port_file)
    where = f"http://{args.host}:{server.port}/"
    print(f"previewd: {where} serves {args.root}", file=sys.stderr, flush=True)
    server.run()


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"previewd: {error}")
