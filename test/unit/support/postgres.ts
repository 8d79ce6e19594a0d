import { spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The folder of PostgreSQL's own programs, of the newest version that is there. */
export function postgresPrograms(): string | undefined {
    const root = "/usr/lib/postgresql";
    const versions = existsSync(root) ? readdirSync(root) : [];
    return versions
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => join(root, version, "bin"))
        .find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "pg_restore")));
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    await new Promise((done) => server.close(done));
    return port;
}

/** A PostgreSQL server with a password, on a port of this machine. It runs as the user postgres where this is root. */
export class Postgres {
    readonly password = 'p:\\a"s$w';

    private constructor(
        readonly programs: string,
        readonly port: number,
        private readonly folder: string,
    ) {}

    static async start(programs: string): Promise<Postgres> {
        const folder = mkdtempSync(join(tmpdir(), "harborage-postgres-"));
        const server = new Postgres(programs, await freePort(), folder);
        const data = join(folder, "data");
        mkdirSync(data, { mode: 0o700 });
        writeFileSync(join(folder, "password"), `${server.password}\n`);
        if (process.getuid?.() === 0) {
            const id = (option: string) => Number(spawnSync("id", [option, "postgres"], { encoding: "utf8" }).stdout);
            for (const path of [folder, data, join(folder, "password")]) {
                chownSync(path, id("-u"), id("-g"));
            }
        }
        const secret = `--pwfile=${join(folder, "password")}`;
        server.run("initdb", ["-D", data, "-U", "postgres", "-A", "scram-sha-256", secret, "-E", "UTF8", "--no-sync"]);
        const options = `-c listen_addresses=127.0.0.1 -c port=${server.port} -c unix_socket_directories= -c fsync=off`;
        server.run("pg_ctl", ["-D", data, "-w", "-l", join(folder, "log"), "-o", options, "start"]);
        return server;
    }

    stop(): void {
        this.run("pg_ctl", ["-D", join(this.folder, "data"), "-m", "immediate", "stop"]);
        rmSync(this.folder, { recursive: true, force: true });
    }

    /** Runs statements, and returns what they answer, without ornaments. */
    sql(database: string, statements: string, user = "postgres"): string {
        const words = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", String(this.port)];
        const { status, stdout, stderr } = spawnSync(
            join(this.programs, "psql"),
            [...words, "-U", user, "-d", database],
            {
                input: statements,
                env: { PGPASSWORD: this.password },
                encoding: "utf8",
            },
        );
        if (status !== 0) {
            throw new Error(stderr);
        }
        return stdout.trim();
    }

    private run(program: string, words: readonly string[]): void {
        const command = [join(this.programs, program), ...words];
        const user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
        const [first = "", ...rest] = process.getuid?.() === 0 ? [...user, ...command] : command;
        // The server inherits the streams.
        const { status } = spawnSync(first, rest, { cwd: this.folder, stdio: "ignore" });
        if (status !== 0) {
            throw new Error(`${program} ended with ${String(status)}`);
        }
    }
}
