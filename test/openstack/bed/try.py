#!/usr/bin/python3
"""Does once, as a plain user of the project, what the tests build on, and says how long each thing takes.

It makes guests `bed-try-*` and what belongs to them, checks from this machine and inside of the guests that each
operation did what it says, and takes everything away again. Ten to fifteen minutes where guests are emulated.
usage: . /var/lib/openstack-lab/openrc; try.py [--keep] | try.py --clean
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import openstack

PREFIX = "bed-try"
GATEWAY = os.environ.get("GATEWAY", "172.24.4.1")

cloud = openstack.connect()
key = pathlib.Path(tempfile.gettempdir(), f"{PREFIX}-{os.getpid()}")


@contextlib.contextmanager
def step(what):
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)


def expect(condition, what):
    if not condition:
        sys.exit(f"try.py: not so: {what}")


def until(seconds, what, check):
    deadline = time.monotonic() + seconds
    while not (result := check()):
        if time.monotonic() > deadline:
            sys.exit(f"try.py: not in {seconds} s: {what}")
        time.sleep(1)
    return result


def attempt(address, command):
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "8",
        "LogLevel": "ERROR",
        # A guest that goes down in the middle says nothing any more.
        "ServerAliveInterval": "5",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return subprocess.run(
        ["ssh", "-i", str(key), *words, f"debian@{address}", command],
        capture_output=True,
        text=True,
    )


def run(address, command):
    done = attempt(address, command)
    expect(done.returncode == 0, f"{command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def wait_for_ssh(address):
    until(600, f"SSH at {address}", lambda: attempt(address, "true").returncode == 0)


def is_open(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def default_gateway():
    routes = subprocess.run(
        ["ip", "-json", "route", "show", "default"], capture_output=True, check=True
    )
    return json.loads(routes.stdout)[0]["gateway"]


def floating_ip(outside, port):
    # Floating IPs have no name to be found by.
    return cloud.network.create_ip(
        floating_network_id=outside.id, port_id=port.id, description=PREFIX
    )


def network():
    group = cloud.network.create_security_group(name=PREFIX)
    rules = ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"})
    for rule in rules:
        cloud.network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ether_type="IPv4", **rule
        )
    own = cloud.network.create_network(name=PREFIX)
    subnet = cloud.network.create_subnet(
        name=PREFIX, network_id=own.id, cidr="10.77.0.0/24", ip_version=4
    )
    outside = cloud.network.find_network("public")
    router = cloud.network.create_router(
        name=PREFIX, external_gateway_info={"network_id": outside.id}
    )
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
    return group, own, outside


def guest(name, group, own, image="debian-12", **options):
    port = cloud.network.create_port(
        name=f"{PREFIX}-{name}", network_id=own.id, security_groups=[group.id]
    )
    server = cloud.compute.create_server(
        name=f"{PREFIX}-{name}",
        **({} if image is None else {"image_id": cloud.image.find_image(image).id}),
        flavor_id=cloud.compute.find_flavor("m1.small").id,
        key_name=PREFIX,
        networks=[{"port": port.id}],
        **options,
    )
    return server, port


def fault(server):
    """What Nova says about an error; this version of the SDK has no word for it."""
    answer = cloud.compute.get(f"/servers/{server.id}").json()["server"]
    return answer.get("fault", {}).get("message")


def status(server, *wanted):
    def check():
        now = cloud.compute.get_server(server)
        expect(
            now.status != "ERROR" or "ERROR" in wanted,
            f"{now.name} is in status ERROR: {fault(now)}",
        )
        # A task that still runs refuses what comes next.
        return now if now.status in wanted and now.task_state is None else None

    return until(300, f"{server.name} becomes {wanted}", check)


def volume_is(volume, wanted):
    until(
        120,
        f"{volume.name} becomes {wanted}",
        lambda: cloud.block_storage.get_volume(volume).status == wanted,
    )


def disks(address):
    return run(address, "lsblk --nodeps --noheadings --output NAME").split()


def attach(server, volume):
    # As it is now: the SDK goes by the status that it is handed.
    cloud.attach_volume(server, cloud.block_storage.get_volume(volume), timeout=120)


def detach(server, volume):
    cloud.detach_volume(server, cloud.block_storage.get_volume(volume), timeout=300)


def boots(address, command_before, what):
    """Waits until the guest has booted again."""
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = run(address, boot)
    with step(what):
        command_before()

        def other():
            now = attempt(address, boot)
            return now.returncode == 0 and now.stdout.strip() != before

        until(300, f"{what}: another boot", other)


def trial():
    with step("network, router, security group"):
        group, own, outside = network()

    with step("create to SSH (debian-12, m1.small)"):
        server, port = guest("a", group, own)
        floating = floating_ip(outside, port)
        address = floating.floating_ip_address
        server = status(server, "ACTIVE")
        wait_for_ssh(address)
    with step("cloud-init done"):
        run(address, "cloud-init status --wait")

    with step("a port that no rule opens is closed; a rule opens it"):
        run(
            address,
            "nohup python3 -m http.server 8080 >/dev/null 2>&1 & sleep 4; curl -so /dev/null 127.0.0.1:8080",
        )
        expect(not is_open(address, 8080), "8080 is closed without a rule")
        cloud.network.create_security_group_rule(
            security_group_id=group.id,
            direction="ingress",
            ether_type="IPv4",
            protocol="tcp",
            port_range_min=8080,
            port_range_max=8080,
        )
        until(30, "8080 is open with a rule", lambda: is_open(address, 8080))
    with step("packages, files and time from this machine; nothing from beyond"):
        run(address, f"curl --fail -sS http://{GATEWAY}:3143/ >/dev/null")
        proxy = f"Acquire::http::Proxy=http://{GATEWAY}:3142"
        run(address, f"sudo apt-get -q -o {proxy} update")
        beyond = attempt(address, f"ping -c 1 -W 3 {default_gateway()}")
        expect(beyond.returncode == 1, "a guest reaches nothing beyond this machine")

    with step("volume made and attached"):
        volume = cloud.block_storage.create_volume(name=f"{PREFIX}-data", size=1)
        volume_is(volume, "available")
        attach(server, volume)
        until(30, "the guest sees the volume", lambda: "vdb" in disks(address))
    run(
        address,
        "sudo mkfs.ext4 -q /dev/vdb && sudo mount /dev/vdb /mnt && echo kept | sudo tee /mnt/f && sync",
    )

    boots(address, lambda: cloud.compute.reboot_server(server, "SOFT"), "soft reboot to SSH")
    server = status(server, "ACTIVE")
    boots(
        address,
        lambda: cloud.compute.reboot_server(server, "HARD"),
        "hard reboot to SSH, volume attached",
    )
    server = status(server, "ACTIVE")
    expect("vdb" in disks(address), "the volume is there after a hard reboot")

    with step("resize to m1.medium, until it is to be confirmed"):
        cloud.compute.resize_server(server, cloud.compute.find_flavor("m1.medium"))
        server = status(server, "VERIFY_RESIZE")
    with step("resize confirmed"):
        cloud.compute.confirm_server_resize(server)
        server = status(server, "ACTIVE")
    with step("SSH after the resize"):
        wait_for_ssh(address)
    expect(run(address, "nproc") == "2", "it has two processors now")

    with step("a second guest, while the first runs"):
        second, second_port = guest("b", group, own)
        second = status(second, "ACTIVE")
        floating_b = floating_ip(outside, second_port)
        address_b = floating_b.floating_ip_address
        wait_for_ssh(address_b)
    with step("volume detached and attached to the other guest"):
        detach(server, volume)
        expect("vdb" not in disks(address), "the volume has gone from the first guest")
        attach(second, volume)
        until(30, "the other guest sees the volume", lambda: "vdb" in disks(address_b))
    expect(
        run(address_b, "sudo mount /dev/vdb /mnt && cat /mnt/f") == "kept", "the data moved along"
    )

    name = run(address_b, "hostname")
    with step("floating IP moved to the other guest"):
        cloud.network.delete_ip(floating_b)
        cloud.network.update_ip(floating, port_id=second_port.id)
        until(
            60,
            "it is the other guest's",
            lambda: attempt(address, "hostname").stdout.strip() == name,
        )

    with step("guest deleted while its volume is attached and mounted"):
        cloud.compute.delete_server(second)
        cloud.compute.wait_for_delete(second, wait=120)
        volume_is(volume, "available")
    with step("volume deleted"):
        cloud.block_storage.delete_volume(volume)
        cloud.block_storage.wait_for_delete(volume, wait=60)

    for policy in ("anti-affinity", "soft-anti-affinity"):
        servers = cloud.compute.create_server_group(name=f"{PREFIX}-{policy}", policy=policy)
        hints = {"scheduler_hints": {"group": servers.id}}
        with step(f"{policy}: the first guest"):
            status(guest(f"{policy}-1", group, own, **hints)[0], "ACTIVE")
        with step(f"{policy}: the second one, on the same host"):
            other = guest(f"{policy}-2", group, own, **hints)[0]
            end = status(other, "ACTIVE", "ERROR")
        expect(
            end.status == ("ERROR" if policy == "anti-affinity" else "ACTIVE"),
            f"{policy}: {end.status}",
        )
        if end.status == "ERROR":
            print(f"          {fault(end)}")
        clean_servers(policy)

    with step("create to SSH, booted from a volume"):
        boot = {
            "boot_index": 0,
            "source_type": "image",
            "destination_type": "volume",
            "uuid": cloud.image.find_image("debian-12").id,
            "volume_size": 4,
            "delete_on_termination": True,
        }
        third, third_port = guest("c", group, own, image=None, block_device_mapping=[boot])
        status(third, "ACTIVE")
        cloud.network.update_ip(floating, port_id=third_port.id)
        wait_for_ssh(address)


def clean_servers(word=""):
    servers = [each for each in cloud.compute.servers() if each.name.startswith(f"{PREFIX}-{word}")]
    for each in servers:
        cloud.compute.delete_server(each)
    for each in servers:
        cloud.compute.wait_for_delete(each, wait=120)


def clean():
    own = list(cloud.network.networks(name=PREFIX))
    ports = [port for network in own for port in cloud.network.ports(network_id=network.id)]
    for floating in cloud.network.ips():
        if floating.description == PREFIX:
            cloud.network.delete_ip(floating)
    clean_servers()
    for group in cloud.compute.server_groups():
        if group.name.startswith(PREFIX):
            cloud.compute.delete_server_group(group)
    for volume in cloud.block_storage.volumes():
        if volume.name.startswith(PREFIX):
            volume_is(volume, "available")
            cloud.block_storage.delete_volume(volume)
    for router in cloud.network.routers(name=PREFIX):
        for port in cloud.network.ports(
            device_id=router.id, device_owner="network:router_interface"
        ):
            cloud.network.remove_interface_from_router(router, port_id=port.id)
        cloud.network.delete_router(router)
    for port in ports:
        if port.name.startswith(PREFIX):
            cloud.network.delete_port(port)
    for each in own:
        cloud.network.delete_network(each)
    for group in cloud.network.security_groups(name=PREFIX):
        cloud.network.delete_security_group(group)
    cloud.compute.delete_keypair(PREFIX)


def main():
    if sys.argv[1:] == ["--clean"]:
        clean()
        return
    clean()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    cloud.compute.create_keypair(
        name=PREFIX, public_key=key.with_suffix(".pub").read_text().strip()
    )
    try:
        trial()
    finally:
        if sys.argv[1:] != ["--keep"]:
            clean()
            key.unlink()
            key.with_suffix(".pub").unlink()


main()
