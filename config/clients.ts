import type { TrustFile } from "./outputs";

/**
 * The files that make clients trust a registry, and where they go.
 *
 * Sources: docs.docker.com/engine/security/certificates, containers-certs.d(5), containerd's docs/hosts.md.
 *
 * @param host what stands before an image's name, with the port unless it is 443
 */
export function renderClientTrust(host: string, caCertificate: string): TrustFile[] {
    const containerd = `/etc/containerd/certs.d/${host}`;
    return [
        { client: "docker", path: `/etc/docker/certs.d/${host}/ca.crt`, content: caCertificate },
        { client: "podman", path: `/etc/containers/certs.d/${host}/ca.crt`, content: caCertificate },
        { client: "containerd", path: `${containerd}/ca.crt`, content: caCertificate },
        {
            client: "containerd",
            path: `${containerd}/hosts.toml`,
            content: `server = "https://${host}"\n\n[host."https://${host}"]\n  ca = "${containerd}/ca.crt"\n`,
        },
    ];
}

/** A Kubernetes `dockerconfigjson` (kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry). */
export function renderPullSecret(host: string, username: string, password: string): string {
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    return JSON.stringify({ auths: { [host]: { username, password, auth } } });
}
