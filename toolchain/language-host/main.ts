/**
 * The Node language host: the server that Pulumi's engine starts as `pulumi-language-nodejs` to run a program.
 * It stands in for the official host, which is published only together with the official CLI.
 *
 * usage: pulumi-language-nodejs [ENGINE_ADDRESS]; its first line of output is the port that it listens on.
 */
import { Server, ServerCredentials, status, type ServiceError } from "@grpc/grpc-js";
import { LanguageRuntimeService } from "@pulumi/pulumi/proto/language_grpc_pb";
import { dieWithParent, exitOnSignals } from "./lifetime";
import { LanguageHost } from "./host";

/** Set when the host is bundled; the version of the CLI that it was written against. */
declare const HOST_VERSION: string;

function main(): void {
    const engine = process.argv.slice(2).findLast((argument) => !argument.startsWith("-")) ?? "";
    const host = new LanguageHost(engine, HOST_VERSION);
    const stop = (): Promise<void> => host.cancel();
    dieWithParent(stop);
    exitOnSignals(stop);
    process.once("exit", () => host.kill());

    const unary =
        <Q, A>(answer: (request: Q) => A | Promise<A>) =>
        (call: { request: Q }, done: (error: Partial<ServiceError> | null, value?: A) => void): void => {
            Promise.resolve()
                .then(() => answer(call.request))
                .then(
                    (value) => done(null, value),
                    (error: unknown) =>
                        done({ code: status.UNKNOWN, details: error instanceof Error ? error.message : String(error) }),
                );
        };
    // What is not listed (code generation, packing, linking) is answered UNIMPLEMENTED by the server itself.
    const service = {
        handshake: unary(host.handshake),
        getPluginInfo: unary(host.pluginInfo),
        getRequiredPackages: unary(host.requiredPackages),
        getRequiredPlugins: unary(host.requiredPlugins),
        about: unary(host.about),
        getProgramDependencies: unary(host.programDependencies),
        run: unary(host.run),
        cancel: unary(host.cancelled),
        installDependencies: host.installDependencies,
        runPlugin: host.runPlugin,
    };
    const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
    server.addService(LanguageRuntimeService, service);
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
        if (error !== null) {
            process.stderr.write(`pulumi-language-nodejs: cannot listen on 127.0.0.1: ${error.message}\n`);
            process.exit(1);
        }
        process.stdout.write(`${port}\n`);
    });
}

main();
