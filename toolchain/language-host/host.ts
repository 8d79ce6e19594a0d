import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import * as path from "node:path";
import { status, type ServerWritableStream } from "@grpc/grpc-js";
import * as language from "@pulumi/pulumi/proto/language_pb";
import * as plugin from "@pulumi/pulumi/proto/plugin_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { outcomeOf, programArguments, programEnvironment, runtimeEnvironment, type ProgramRun } from "./invocation";
import { parseOptions, type RuntimeOptions } from "./options";
import { directDependencies, installedPackages, requiredPlugins } from "./packages";

/** What V8 prints when the heap is full. */
const OUT_OF_MEMORY = "<--- Last few GCs --->";

/** How long a cancelled program may take to end before it is killed, in milliseconds. */
const CANCEL_GRACE = 5000;

/** Answers the calls of `pulumirpc.LanguageRuntime`; main.ts binds each method to its call. */
export class LanguageHost {
    readonly #children = new Set<ChildProcess>();
    readonly #version: string;
    #engine: string;

    /**
     * @param engine address (host:port) of the engine; empty until the handshake when the engine sends it there
     * @param version reported to the engine
     */
    constructor(engine: string, version: string) {
        this.#engine = engine;
        this.#version = version;
    }

    handshake = (request: language.LanguageHandshakeRequest): language.LanguageHandshakeResponse => {
        this.#engine = request.getEngineAddress() || this.#engine;
        return new language.LanguageHandshakeResponse();
    };

    pluginInfo = (): plugin.PluginInfo => new plugin.PluginInfo().setVersion(this.#version);

    requiredPackages = (request: language.GetRequiredPackagesRequest): language.GetRequiredPackagesResponse => {
        const packages = requiredPlugins(programDirectory(request.getInfo())).map(({ name, version, server }) =>
            new plugin.PackageDependency().setName(name).setKind("resource").setVersion(version).setServer(server),
        );
        return new language.GetRequiredPackagesResponse().setPackagesList(packages);
    };

    requiredPlugins = (request: language.GetRequiredPluginsRequest): language.GetRequiredPluginsResponse => {
        const plugins = requiredPlugins(programDirectory(request.getInfo())).map(({ name, version, server }) =>
            new plugin.PluginDependency().setName(name).setKind("resource").setVersion(version).setServer(server),
        );
        return new language.GetRequiredPluginsResponse().setPluginsList(plugins);
    };

    about = (): language.AboutResponse => {
        const response = new language.AboutResponse().setExecutable(process.execPath).setVersion(process.version);
        response.getMetadataMap().set("packagemanager", "npm");
        response.getMetadataMap().set("host", "stand-in");
        return response;
    };

    programDependencies = (
        request: language.GetProgramDependenciesRequest,
    ): language.GetProgramDependenciesResponse => {
        const directory = programDirectory(request.getInfo());
        const direct = directDependencies(directory);
        const dependencies = installedPackages(directory)
            .filter(({ name }) => request.getTransitivedependencies() || direct.has(name))
            .map(({ name, version }) => new language.DependencyInfo().setName(name).setVersion(version));
        return new language.GetProgramDependenciesResponse().setDependenciesList(dependencies);
    };

    run = async (request: language.RunRequest): Promise<language.RunResponse> => {
        const info = request.getInfo();
        const directory = programDirectory(info);
        if (request.getAttachDebugger()) {
            return new language.RunResponse().setError(
                "This stand-in language host cannot attach a debugger; use the official Pulumi CLI for that.",
            );
        }
        try {
            const options = optionsOf(info);
            const run: ProgramRun = {
                engine: this.#engine,
                monitor: request.getMonitorAddress(),
                organization: request.getOrganization(),
                project: request.getProject(),
                stack: request.getStack(),
                rootDirectory: info?.getRootDirectory() ?? directory,
                programDirectory: directory,
                entryPoint: info?.getEntryPoint() ?? ".",
                dryRun: request.getDryrun(),
                parallel: request.getParallel(),
                programArguments: request.getArgsList(),
                config: new Map(request.getConfigMap().getEntryList()),
                secretKeys: request.getConfigsecretkeysList(),
            };
            const child = this.#start(
                programArguments(run, locate("@pulumi/pulumi/cmd/run", directory), options),
                directory,
                { ...process.env, ...programEnvironment(run, options) },
            );
            let outOfMemory = false;
            child.stdout.pipe(process.stdout, { end: false });
            child.stderr.on("data", (chunk: Buffer) => {
                outOfMemory ||= chunk.includes(OUT_OF_MEMORY);
                process.stderr.write(chunk);
            });
            const { code, signal } = await ended(child);
            const outcome = outcomeOf(code, signal, outOfMemory);
            return new language.RunResponse().setError(outcome.error).setBail(outcome.bail);
        } catch (error) {
            return new language.RunResponse().setError(messageOf(error));
        }
    };

    runPlugin = (call: ServerWritableStream<language.RunPluginRequest, language.RunPluginResponse>): void => {
        const request = call.request;
        const directory = programDirectory(request.getInfo());
        try {
            const options = optionsOf(request.getInfo());
            const sent = request.getEnvList().map((pair) => pair.split(/=(.*)/su, 2) as [string, string]);
            const child = this.#start(
                [
                    ...options.nodeArguments,
                    locate("@pulumi/pulumi/cmd/run-plugin", directory),
                    directory,
                    ...request.getArgsList(),
                ],
                request.getPwd() || directory,
                { ...Object.fromEntries(sent), ...runtimeEnvironment(options) },
            );
            child.stdout.on("data", (chunk: Buffer) => call.write(new language.RunPluginResponse().setStdout(chunk)));
            child.stderr.on("data", (chunk: Buffer) => call.write(new language.RunPluginResponse().setStderr(chunk)));
            call.on("cancelled", () => terminate(child));
            void ended(child).then(
                ({ code }) => {
                    call.write(new language.RunPluginResponse().setExitcode(code ?? 1));
                    call.end();
                },
                (error: unknown) => fail(call, messageOf(error)),
            );
        } catch (error) {
            fail(call, messageOf(error));
        }
    };

    installDependencies = (
        call: ServerWritableStream<language.InstallDependenciesRequest, language.InstallDependenciesResponse>,
    ): void => {
        const info = call.request.getInfo();
        const directory = programDirectory(info) || call.request.getDirectory();
        const npm = spawn("npm", ["install", ...(optionsOf(info).production ? ["--omit=dev"] : [])], {
            cwd: directory,
            stdio: ["ignore", "pipe", "pipe"],
        });
        this.#children.add(npm);
        npm.stdout.on("data", (chunk: Buffer) =>
            call.write(new language.InstallDependenciesResponse().setStdout(chunk)),
        );
        npm.stderr.on("data", (chunk: Buffer) =>
            call.write(new language.InstallDependenciesResponse().setStderr(chunk)),
        );
        void ended(npm).then(
            ({ code }) => {
                this.#children.delete(npm);
                if (code === 0) {
                    call.end();
                } else {
                    fail(call, `npm install in ${directory} exited with code ${code ?? "none"}`);
                }
            },
            (error: unknown) => fail(call, messageOf(error)),
        );
    };

    cancelled = (): Empty => {
        void this.cancel();
        return new Empty();
    };

    /** Stops whatever this host has started: an interrupt first, a kill when that does not help. */
    async cancel(): Promise<void> {
        const children = [...this.#children];
        const endings = children.map((child) => new Promise((resolve) => child.once("close", resolve)));
        children.forEach(terminate);
        await Promise.all(endings);
    }

    /** Kills what is still there; for the moment when this process exits. */
    kill(): void {
        for (const child of this.#children) {
            child.kill("SIGKILL");
        }
    }

    #start(nodeArguments: string[], cwd: string, env: NodeJS.ProcessEnv) {
        const child = spawn("node", nodeArguments, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
        this.#children.add(child);
        child.once("close", () => this.#children.delete(child));
        return child;
    }
}

function programDirectory(info: language.ProgramInfo | undefined): string {
    return info?.getProgramDirectory() ?? "";
}

function optionsOf(info: language.ProgramInfo | undefined): RuntimeOptions {
    return parseOptions(info?.getOptions()?.toJavaScript() ?? {});
}

/** Finds a module of the SDK as the program itself would, so that program and runner are one version. */
function locate(module: string, directory: string): string {
    try {
        return createRequire(path.join(directory, "package.json")).resolve(module);
    } catch {
        throw new Error(`The Pulumi SDK (@pulumi/pulumi) is not installed in ${directory}: run npm ci there.`);
    }
}

interface Ending {
    readonly code: number | null;
    readonly signal: NodeJS.Signals | null;
}

/** Resolves when the process has ended and all its output has been read. */
function ended(child: ChildProcess): Promise<Ending> {
    return new Promise((resolve, reject) => {
        child.once("error", (error) => reject(new Error(`cannot start ${child.spawnfile}: ${error.message}`)));
        child.once("close", (code, signal) => resolve({ code, signal }));
    });
}

function terminate(child: ChildProcess): void {
    child.kill("SIGINT");
    setTimeout(() => child.kill("SIGKILL"), CANCEL_GRACE).unref();
}

function fail<Q, A>(call: ServerWritableStream<Q, A>, details: string): void {
    call.emit("error", { code: status.UNKNOWN, details });
}

function messageOf(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
}
