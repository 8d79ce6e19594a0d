import type { BaselineConfig, SourceFile } from "../../config/baseline";
import { renderFiles, type PlainFile } from "../compose-stack/render-files";

export interface BaselineArgs {
    readonly baseline: BaselineConfig;
    /** The TCP ports that the stack uses on this machine. */
    readonly ports: readonly number[];
    /** Where the data is, and a disk for it is mounted. */
    readonly dataDirectory: string;
    /** Where a file is for the machine: a path on it or a URL. */
    readonly placeOf: (file: SourceFile) => string;
}

/** Docker's own logs, for containers that set nothing themselves. */
const logRotation = { "log-driver": "json-file", "log-opts": { "max-size": "20m", "max-file": "5" } };

/**
 * What `system.sh` reads: `settings`, a key and its value on each line, and the files that it puts into place. A file that
 * is not there is taken away again.
 */
export function renderBaseline(args: BaselineArgs): string {
    const { baseline, ports, dataDirectory, placeOf } = args;
    const { packages, docker } = baseline;
    const file = (key: string, source: SourceFile | undefined): [string, string][] =>
        source === undefined
            ? []
            : [
                  [key, placeOf(source)],
                  [`${key}-sha256`, source.sha256],
              ];
    const settings: [string, string][] = [
        ["time-zone", baseline.timeZone],
        ["time-sync", baseline.timeSync],
        ...baseline.timeServers.map((server): [string, string] => ["time-server", server]),
        ["open-files", String(baseline.openFiles)],
        ["firewall", baseline.firewall],
        ...ports.map((port): [string, string] => ["port", String(port)]),
        ["selinux", baseline.seLinux],
        ...file("packages", packages.bundle),
        ...(docker.version === undefined ? [] : [["docker-version", docker.version] satisfies [string, string]]),
        ...file("compose-plugin", docker.composePlugin),
    ];
    const files: Record<string, PlainFile> = {
        settings: { content: settings.map(([key, value]) => `${key} ${value}\n`).join("") },
        "daemon.json": { content: renderDaemon(baseline) },
        "docker.conf": { content: renderDockerUnit(docker, dataDirectory) },
        "journald.conf": { content: `[Journal]\nSystemMaxUse=${String(baseline.journalMiB)}M\n` },
        ...(packages.proxy === undefined
            ? {}
            : {
                  "apt.conf": {
                      content: `Acquire::http::Proxy "${packages.proxy}";\nAcquire::https::Proxy "${packages.proxy}";\n`,
                  },
              }),
        ...Object.fromEntries(
            packages.sources.map((source) => [`sources/${source.name}`, { content: renderSource(source) }]),
        ),
    };
    return renderFiles(files);
}

/** /etc/docker/daemon.json (docs.docker.com/reference/cli/dockerd). The stack file's keys win. */
export function renderDaemon({ openFiles, docker }: BaselineConfig): string {
    const limit = { nofile: { Name: "nofile", Soft: openFiles, Hard: openFiles } };
    return `${JSON.stringify({ ...logRotation, "default-ulimits": limit, ...docker.daemon }, undefined, 4)}\n`;
}

/**
 * A drop-in for docker.service: Docker does not start without the disk for the data, or services would begin with empty
 * folders.
 */
function renderDockerUnit(docker: BaselineConfig["docker"], dataDirectory: string): string {
    const { httpProxy, noProxy } = docker;
    // systemd.unit(5), Specifiers: a single % would be one.
    const url = httpProxy?.replaceAll("%", "%%");
    const proxy =
        url === undefined
            ? ""
            : [
                  "\n[Service]",
                  `Environment="HTTP_PROXY=${url}"`,
                  `Environment="HTTPS_PROXY=${url}"`,
                  `Environment="NO_PROXY=${["localhost", "127.0.0.1", ...noProxy].join(",")}"`,
                  "",
              ].join("\n");
    return `[Unit]\nRequiresMountsFor=${dataDirectory}\n${proxy}`;
}

/** A repository in the form of sources.list(5), deb822, with its key inside. */
function renderSource(source: BaselineConfig["packages"]["sources"][number]): string {
    const { uri, suite, components, key } = source;
    const lines = key
        .trimEnd()
        .split("\n")
        .map((line) => (line.trim() === "" ? " ." : ` ${line.trim()}`));
    return [
        "Types: deb",
        `URIs: ${uri}`,
        `Suites: ${suite}`,
        ...(components.length === 0 ? [] : [`Components: ${components.join(" ")}`]),
        "Signed-By:",
        ...lines,
        "",
    ].join("\n");
}
