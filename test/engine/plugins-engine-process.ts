import { PluginProcess } from "./plugins-harness";

/**
 * An engine to be killed: starts the command plugin, writes its process id, lets it run the command given as
 * the argument, and writes the process id of that.
 */
async function main(): Promise<void> {
    const plugin = await PluginProcess.start("command");
    process.stdout.write(`${plugin.process.pid}\n`);
    const log = plugin.engine.logs;
    const timer = setInterval(() => {
        const pid = log.find(({ message }) => /^\d+$/.test(message))?.message;
        if (pid !== undefined) {
            clearInterval(timer);
            process.stdout.write(`${pid}\n`);
        }
    }, 20);
    await plugin.create(plugin.urn("command:local:Command"), { create: `echo $$; ${process.argv[2]}` });
}

void main();
