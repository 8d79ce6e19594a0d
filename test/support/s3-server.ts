import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { goTool } from "../../toolchain/go-tool";
import { run, start, until, type Running } from "./processes";

export interface S3Options {
    /** Everything that it keeps is below this folder. */
    readonly folder: string;
    /** The address that it listens at. Default: 127.0.0.1. */
    readonly address?: string;
    /** Default: one that is free. */
    readonly port?: number;
    /** Default: test-1. */
    readonly region?: string;
    /** Who may do everything. Default: `root`. */
    readonly accessKey?: string;
    /** Default: one with characters that programs have to quote. */
    readonly secretKey?: string;
    /** Default: none; it speaks HTTP. */
    readonly certificate?: { readonly key: string; readonly cert: string };
    /** Buckets that are there from the start. Default: `registry`. */
    readonly buckets?: readonly string[];
}

/** versitygw, built from its Go module. */
function program(): Promise<string> {
    return goTool({
        title: "the S3 server versitygw",
        module: "../test/support/versitygw",
        package: "github.com/versity/versitygw/cmd/versitygw",
        binary: "versitygw",
        variables: {},
    });
}

/** Builds the server where the cache does not hold it. */
export async function prepareS3Server(): Promise<void> {
    await program();
}

/** An S3 server on this machine that keeps objects as files. Paths, not names of hosts, name the bucket. */
export class S3Server {
    private server: Running | undefined;

    private constructor(
        private readonly file: string,
        private readonly folder: string,
        readonly address: string,
        readonly port: number,
        readonly region: string,
        readonly accessKey: string,
        readonly secretKey: string,
        private readonly certificate: { readonly key: string; readonly cert: string } | undefined,
    ) {}

    static async start(options: S3Options): Promise<S3Server> {
        const { folder, address = "127.0.0.1", certificate } = options;
        const server = new S3Server(
            await program(),
            folder,
            address,
            options.port ?? (await freePort(address)),
            options.region ?? "test-1",
            options.accessKey ?? "root",
            options.secretKey ?? 'secret/+="\\key',
            certificate,
        );
        for (const each of ["data", "metadata", "users"]) {
            mkdirSync(join(folder, each), { recursive: true });
        }
        for (const bucket of options.buckets ?? ["registry"]) {
            mkdirSync(server.data(bucket), { recursive: true });
        }
        if (certificate !== undefined) {
            writeFileSync(join(folder, "key.pem"), certificate.key, { mode: 0o600 });
            writeFileSync(join(folder, "cert.pem"), certificate.cert);
        }
        await server.boot();
        return server;
    }

    get endpoint(): string {
        return `${this.certificate === undefined ? "http" : "https"}://${this.address}:${this.port}`;
    }

    /** The folder with a bucket's objects as files. */
    data(bucket = "registry"): string {
        return join(this.folder, "data", bucket);
    }

    /** How many bytes the objects of a bucket have. */
    size(bucket = "registry"): number {
        return readdirSync(this.data(bucket), { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
    }

    /** Starts it, or starts it again. */
    async boot(): Promise<void> {
        const { folder, address, port, region, accessKey, secretKey } = this;
        const tls =
            this.certificate === undefined
                ? []
                : ["--cert", join(folder, "cert.pem"), "--key", join(folder, "key.pem")];
        // Not every file system has attributes of files: they are files of their own.
        const backend = ["posix", "--sidecar", join(folder, "metadata"), join(folder, "data")];
        const running = start(
            this.file,
            [
                ...["--port", `${address}:${port}`, "--region", region, "--quiet", "--keep-alive"],
                ...[
                    "--iam-dir",
                    join(folder, "users"),
                    "--iam-cache-disable",
                    "--health",
                    "/healthz",
                    ...tls,
                    ...backend,
                ],
            ],
            { env: { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey }, seconds: 3600 },
        );
        this.server = running;
        let ended = false;
        running.done.then(
            () => (ended = true),
            () => (ended = true),
        );
        await until("the S3 server answers", 60, async () => {
            if (ended) {
                throw new Error(`the S3 server ended: ${running.output()}`);
            }
            const probe = ["--silent", "--insecure", "--fail", "--max-time", "2", `${this.endpoint}/healthz`];
            return run("curl", probe).then(
                () => true,
                () => false,
            );
        });
    }

    /** A further user, who may nothing until a bucket's policy says so. */
    async addUser(accessKey: string, secretKey: string): Promise<void> {
        const admin = ["admin", "--allow-insecure", "--endpoint-url", this.endpoint, "--region", this.region];
        const user = ["create-user", "--access", accessKey, "--secret", secretKey, "--role", "user"];
        await run(this.file, [...admin, ...user], {
            env: { ADMIN_ACCESS_KEY: this.accessKey, ADMIN_SECRET_KEY: this.secretKey },
        });
    }

    /** Says who may what in a bucket, in Amazon's language of policies; each action without `s3:`. */
    async allow(accessKey: string, actions: readonly string[], bucket = "registry"): Promise<void> {
        const Resource = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
        const ofBucket = /^(?:ListBucket|ListBucketMultipartUploads|GetBucketLocation)$/;
        const statement = (Action: readonly string[], resource: string | undefined) =>
            Action.length === 0
                ? []
                : [
                      {
                          Effect: "Allow",
                          Principal: { AWS: [accessKey] },
                          Action: Action.map((action) => `s3:${action}`),
                          Resource: resource,
                      },
                  ];
        const policy = {
            Version: "2012-10-17",
            Statement: [
                ...statement(
                    actions.filter((action) => ofBucket.test(action)),
                    Resource[0],
                ),
                ...statement(
                    actions.filter((action) => !ofBucket.test(action)),
                    Resource[1],
                ),
            ],
        };
        await this.request("PUT", `/${bucket}?policy=`, JSON.stringify(policy));
    }

    /**
     * A request as the one who may do everything.
     *
     * @param path with its query, in the order of the alphabet
     * @returns the body of the answer
     */
    request(method: string, path: string, body = ""): Promise<string> {
        const quote = (text: string) => `"${text.replace(/[\\"]/g, "\\$&")}"`;
        const settings = [
            `user = ${quote(`${this.accessKey}:${this.secretKey}`)}`,
            `aws-sigv4 = ${quote(`aws:amz:${this.region}:s3`)}`,
            `header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"`,
            `request = ${method}`,
            ...(body === "" ? [] : [`data-binary = ${quote(body)}`]),
        ];
        return run("curl", ["--config", "-", "--silent", "--insecure", "--fail-with-body", this.endpoint + path], {
            input: settings.join("\n"),
        });
    }

    /** Ends it in the middle of what it does. */
    async kill(): Promise<void> {
        this.server?.kill("SIGKILL");
        await this.server?.done;
    }
}

async function freePort(address: string): Promise<number> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, address, done));
    const { port } = server.address() as AddressInfo;
    await new Promise((done) => server.close(done));
    return port;
}
