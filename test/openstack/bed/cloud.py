#!/usr/bin/python3
"""What is in the cloud: users and endpoints, then images, flavors, the public network and quotas.

What is there already stays; an image whose file has changed is replaced. identity prints each project with its id.
usage: cloud.py identity|content|check   as admin, with what lib.sh and up.sh put into the environment
"""

import hashlib
import ipaddress
import os
import pathlib
import subprocess
import sys
import time

import openstack

SERVICES = (
    ("image", "glance", "http://127.0.0.1:9292"),
    ("placement", "placement", "http://127.0.0.1:8778"),
    ("compute", "nova", "http://127.0.0.1:8774/v2.1"),
    ("network", "neutron", "http://127.0.0.1:9696"),
    ("volumev3", "cinder", "http://127.0.0.1:8776/v3/%(project_id)s"),
)

IMAGES = ("debian-12", "debian-12-docker")
# quiet: the emulated serial port is slow. net.ifnames: names depend on the machine type otherwise. no_timer_check: on a
# busy machine the kernel finds the emulated timer broken ("8254 timer not connected to IO-APIC"), and may give up.
KERNEL_OPTIONS = (
    "root=/dev/vda ro console=ttyS0 quiet net.ifnames=0 no_timer_check fsck.mode=skip"
    " mitigations=off audit=0"
)

# Name, MiB of memory, processors, GiB of disk.
FLAVORS = (
    ("m1.micro", 512, 1, 5),
    ("m1.small", 1024, 1, 10),
    ("h.two", 1536, 2, 10),
    ("m1.medium", 2048, 2, 20),
    ("m1.large", 4096, 2, 20),
)

# The project lab has more than this machine can bear. The project tight is for what happens beyond a quota.
QUOTAS = {
    "lab": {
        "compute": {"instances": 20, "cores": 64, "ram": 65536},
        "volume": {"volumes": 50, "gigabytes": 1000},
        "network": {},
    },
    "tight": {
        "compute": {"instances": 1, "cores": 2, "ram": 2048},
        "volume": {"volumes": 1, "gigabytes": 2},
        "network": {"floating_ips": 1, "networks": 1, "routers": 1, "security_groups": 3},
    },
}

cloud = openstack.connect()


def identity():
    keystone = cloud.identity
    password = os.environ["PASSWORD"]

    def project(name):
        return keystone.find_project(name, domain_id="default") or keystone.create_project(
            name=name, domain_id="default"
        )

    def user(name, of):
        return keystone.find_user(name, domain_id="default") or keystone.create_user(
            name=name, domain_id="default", password=password, default_project_id=of.id
        )

    def role(name):
        return keystone.find_role(name) or keystone.create_role(name=name)

    roles = {name: role(name) for name in ("admin", "member", "reader", "service")}
    admin = keystone.find_user("admin", domain_id="default")

    service_project = project("service")
    for name in ("glance", "placement", "nova", "neutron", "cinder"):
        account = user(name, service_project)
        for each in ("admin", "service"):
            keystone.assign_project_role_to_user(service_project, account, roles[each])

    for name in QUOTAS:
        own = project(name)
        keystone.assign_project_role_to_user(own, user(name, own), roles["member"])
        keystone.assign_project_role_to_user(own, admin, roles["admin"])
        print(name, own.id)
    print("admin", project("admin").id)

    services = {(service.type, service.name): service for service in keystone.services()}
    endpoints = {(endpoint.service_id, endpoint.interface) for endpoint in keystone.endpoints()}
    for kind, name, url in SERVICES:
        service = services.get((kind, name)) or keystone.create_service(type=kind, name=name)
        for interface in ("public", "internal", "admin"):
            if (service.id, interface) not in endpoints:
                keystone.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    url=url,
                    region_id=os.environ["REGION"],
                )


def wait_for(seconds, what, check):
    deadline = time.monotonic() + seconds
    while True:
        problem = ""
        try:
            if check():
                return
        except Exception as error:  # whatever a service says that is still starting
            problem = f": {error}"
        if time.monotonic() > deadline:
            sys.exit(f"cloud.py: {what}: not there in time{problem}")
        time.sleep(1)


def agents_are_up():
    return sum(agent.is_alive for agent in cloud.network.agents()) >= 4


def volume_services_are_up():
    services = cloud.block_storage.get("/os-services").json()["services"]
    up = {service["binary"] for service in services if service["state"] == "up"}
    return {"cinder-volume", "cinder-scheduler"} <= up


def compute_is_up():
    services = cloud.compute.services(binary="nova-compute")
    return any(service.state == "up" for service in services)


def image(name, path, disk_format, container_format, **properties):
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").hexdigest()
    old = list(cloud.image.images(name=name))
    for each in old:
        if each.status == "active" and each.hash_value == digest:
            return cloud.image.update_image(each, **properties)
    # Not before the new one is about to be there: two of a name would be found by nobody.
    for each in old:
        cloud.image.delete_image(each)
    return cloud.create_image(
        name,
        filename=str(path),
        disk_format=disk_format,
        container_format=container_format,
        visibility="public",
        allow_duplicates=True,
        wait=True,
        **properties,
    )


def images():
    for name in IMAGES:
        folder = pathlib.Path(os.environ["IMAGES"], name)
        kernel = image(f"{name}-kernel", folder / "vmlinuz", "aki", "aki")
        ramdisk = image(f"{name}-ramdisk", folder / "initrd", "ari", "ari")
        image(
            name,
            folder / "root.qcow2",
            "qcow2",
            "bare",
            kernel_id=kernel.id,
            ramdisk_id=ramdisk.id,
            hw_rng_model="virtio",
            os_distro="debian",
            os_command_line=KERNEL_OPTIONS,
        )


def flavors():
    there = {flavor.name for flavor in cloud.compute.flavors()}
    for name, memory, processors, disk in FLAVORS:
        if name not in there:
            cloud.compute.create_flavor(name=name, ram=memory, vcpus=processors, disk=disk)


def public_network():
    network = cloud.network.find_network("public") or cloud.network.create_network(
        name="public",
        is_router_external=True,
        is_shared=True,
        provider_network_type="flat",
        provider_physical_network="public",
    )
    if not cloud.network.find_subnet("public-v4"):
        addresses = ipaddress.ip_network(os.environ["EXTERNAL_CIDR"])
        cloud.network.create_subnet(
            name="public-v4",
            network_id=network.id,
            ip_version=4,
            cidr=str(addresses),
            gateway_ip=os.environ["GATEWAY"],
            allocation_pools=[{"start": str(addresses[10]), "end": str(addresses[250])}],
            is_dhcp_enabled=True,
        )


def volume_type():
    if not any(each.name == "nfs" for each in cloud.block_storage.types()):
        cloud.block_storage.create_type(name="nfs", extra_specs={"volume_backend_name": "nfs"})


def hypervisor():
    if not list(cloud.compute.hypervisors()):
        as_nova = ("setpriv", "--reuid=nova", "--regid=nova", "--init-groups")
        subprocess.run([*as_nova, "nova-manage", "cell_v2", "discover_hosts"], check=True)
    wait_for(120, "hypervisor", lambda: list(cloud.compute.hypervisors()))


def quotas():
    for name, quota in QUOTAS.items():
        project = cloud.identity.find_project(name, domain_id="default")
        cloud.set_compute_quotas(project.id, **quota["compute"])
        cloud.set_volume_quotas(project.id, **quota["volume"])
        if quota["network"]:
            cloud.network.update_quota(project.id, **quota["network"])


def content():
    images()
    flavors()
    public_network()
    wait_for(120, "neutron's agents", agents_are_up)
    wait_for(120, "cinder's services", volume_services_are_up)
    volume_type()
    wait_for(180, "nova-compute", compute_is_up)
    hypervisor()
    quotas()


def check():
    """Whether guests can be had now."""
    for name in IMAGES:
        cloud.image.find_image(name, ignore_missing=False)
    cloud.network.find_network("public", ignore_missing=False)
    sys.exit(not (agents_are_up() and volume_services_are_up() and compute_is_up()))


{"identity": identity, "content": content, "check": check}[sys.argv[1]]()
