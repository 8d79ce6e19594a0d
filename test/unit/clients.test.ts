import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { renderClientTrust, renderPullSecret } from "../../config/clients";

const ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

describe("files that make clients trust the registry", () => {
    for (const host of ["registry.example.com", "registry.example.com:8443"]) {
        const files = new Map(renderClientTrust(host, ca).map(({ path, content }) => [path, content]));

        it(`hold the CA where docker, podman and containerd look for that of ${host}`, () => {
            for (const folder of ["/etc/docker/certs.d", "/etc/containers/certs.d", "/etc/containerd/certs.d"]) {
                assert.equal(files.get(`${folder}/${host}/ca.crt`), ca);
            }
        });

        it(`tell containerd of ${host} in a hosts.toml that can be read`, async () => {
            const { parse } = await import("smol-toml");
            const hosts = parse(files.get(`/etc/containerd/certs.d/${host}/hosts.toml`) ?? "");
            assert.deepEqual(JSON.parse(JSON.stringify(hosts)), {
                server: `https://${host}`,
                host: { [`https://${host}`]: { ca: `/etc/containerd/certs.d/${host}/ca.crt` } },
            });
            assert.equal(files.size, 4);
        });
    }
});

describe("pull secret", () => {
    it("is a dockerconfigjson of Kubernetes", () => {
        const secret: unknown = JSON.parse(renderPullSecret("registry.example.com:8443", "admin", 'pa"ss:wörd'));
        assert.deepEqual(secret, {
            auths: {
                "registry.example.com:8443": {
                    username: "admin",
                    password: 'pa"ss:wörd',
                    auth: Buffer.from('admin:pa"ss:wörd', "utf8").toString("base64"),
                },
            },
        });
    });
});
