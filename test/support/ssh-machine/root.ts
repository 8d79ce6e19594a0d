import { join } from "node:path";
import { cached, keyOf } from "../../../toolchain/cache";
import { ensureMmdebstrap, findRelease } from "../../../toolchain/images/root-fs";
import { run } from "../processes";

/** What an installation of the distribution's server has anyway, as far as anything looks at it, and what tests call. */
const PACKAGES = [
    "ca-certificates",
    "curl",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "netbase",
    "openssh-server",
    "openssl",
    "procps",
    "sudo",
];
/** busybox is for images: no machine gets any from elsewhere. */
const DOCKER = {
    debian: ["busybox-static", "docker.io", "docker-cli", "docker-compose", "iptables"],
    ubuntu: ["busybox-static", "docker.io", "docker-compose-v2", "iptables"],
};

/** For what is never read in a test. */
const EXCLUDED = ["doc", "info", "locale", "man"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);

const hook = join(__dirname, "root.sh");

/**
 * A root file system for test machines, as a folder that nobody may change. Made of the distribution's packages when it is
 * not in the cache, which takes half a minute.
 *
 * @param docker whether Docker and its compose plugin are installed
 */
export async function machineRoot(docker: boolean): Promise<string> {
    const release = findRelease();
    const distribution = release.components.includes("universe") ? "ubuntu" : "debian";
    const packages = [...PACKAGES, ...(docker ? DOCKER[distribution] : [])];
    const key = keyOf([release.suite, process.arch, ...packages, ...EXCLUDED], [hook]);
    const folder = await cached("machines", key, async (made) => {
        await ensureMmdebstrap();
        const options = [`--components=${release.components}`, `--include=${packages.join(",")}`, ...EXCLUDED];
        const place = [release.suite, join(made, "root"), release.mirror];
        const making = ["mmdebstrap", "--variant=minbase", ...options, `--customize-hook=${hook}`, ...place];
        // What it mounts goes when it is ended, or nobody could take the folder away.
        await run("unshare", ["--mount", ...making], {
            env: { LC_ALL: "C.UTF-8" },
            seconds: 900,
        });
    });
    return join(folder, "root");
}
