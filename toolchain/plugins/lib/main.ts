import { PluginServer, type Plugin } from "./server";

/**
 * The entry point of every plugin: serves, and prints the port as the first line of its output, which is
 * what the engine waits for. The command line holds the engine's address; flags such as --logtostderr,
 * which the engine puts before it, don't matter here.
 */
export function serve(plugin: Plugin): void {
    const address = process.argv.slice(2).find((argument) => !argument.startsWith("-"));
    new PluginServer(plugin).start(address).then(
        (port) => process.stdout.write(`${port}\n`),
        (error: unknown) => {
            process.stderr.write(`pulumi-resource-${plugin.name}: ${String(error)}\n`);
            process.exitCode = 1;
        },
    );
}
