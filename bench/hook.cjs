"use strict";
// Loaded into the measured program. When it ends, it reports on file descriptor 3:
//   begun             when it declared its first resource, or else had nothing to declare: ms since the epoch
//   peakKilobytes     VmHWM and not getrusage, because a child starts there with its parent's maximum
//   begunProcessor, processorSeconds  user and system time of all threads until then, and in all
const fs = require("node:fs");
const { isMainThread } = require("node:worker_threads");

if (isMainThread) {
    const processorSeconds = () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1e6;
    };
    let beginning;
    const begin = () => {
        beginning ??= { begun: performance.timeOrigin + performance.now(), begunProcessor: processorSeconds() };
    };
    const sdk = require("@pulumi/pulumi/runtime/resource");
    const { registerResource, registerResourceOutputs } = sdk;
    sdk.registerResource = (resource, parent, type, ...rest) => {
        // The SDK registers the stack itself before it loads the program.
        if (type !== "pulumi:pulumi:Stack") {
            begin();
        }
        return registerResource(resource, parent, type, ...rest);
    };
    sdk.registerResourceOutputs = (...args) => {
        begin();
        return registerResourceOutputs(...args);
    };
    process.on("exit", () => {
        const peak = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync("/proc/self/status", "utf8"));
        const whole = { peakKilobytes: Number(peak[1]), processorSeconds: processorSeconds() };
        fs.writeSync(3, JSON.stringify({ ...beginning, ...whole }));
    });
}
