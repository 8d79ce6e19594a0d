#!/usr/bin/python3
"""Writes the services' configuration: every file of etc/ beside this one to its place under /etc.

In them `$name` stands for a value below. Of what packages have put there nothing is kept.
usage: configure.py   with PASSWORD, REGION and VIRT_TYPE in the environment
"""

import os
import pathlib
import shutil
import socket
import string

TEMPLATES = pathlib.Path(__file__).resolve().parent / "etc"

# Folders whose files everybody may read; what lies in the others is for the service's own group.
PUBLIC = ("labstack", "libvirt", "mysql")

PASSWORD = os.environ["PASSWORD"]
REGION = os.environ["REGION"]
VIRT_TYPE = os.environ["VIRT_TYPE"]

CREDENTIALS = """\
auth_type = password
auth_url = http://127.0.0.1:5000
project_domain_name = Default
user_domain_name = Default
project_name = service
username = {user}
password = {password}
region_name = {region}"""

AUTHTOKEN = """\
www_authenticate_uri = http://127.0.0.1:5000
memcached_servers = 127.0.0.1:11211
service_token_roles = service
service_token_roles_required = True
"""

POOL = """\
max_pool_size = 5
max_overflow = 20
connection_recycle_time = 600"""


def render(template, service):
    credentials = CREDENTIALS.format(user=service, password=PASSWORD, region=REGION)
    return string.Template(template).substitute(
        authtoken=AUTHTOKEN + credentials,
        cpu_mode="none" if VIRT_TYPE == "qemu" else "host-passthrough",
        credentials=credentials,
        hostname=socket.gethostname(),
        password=PASSWORD,
        pool=POOL,
        rabbit="rabbit://guest:guest@127.0.0.1:5672/",
        region=REGION,
        virt_type=VIRT_TYPE,
    )


def write(path, text, group):
    """Writes the file in one step: a service that starts meanwhile reads the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o644 if group is None else 0o640)
    shutil.chown(new, "root", group or "root")
    new.replace(path)


def main():
    for template in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
        place = template.relative_to(TEMPLATES)
        service = place.parts[0]
        write(
            "/etc" / place,
            render(template.read_text(), service),
            None if service in PUBLIC else service,
        )


main()
