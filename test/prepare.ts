/**
 * Gets or builds what `up` on this machine needs, as its launcher does, so that no time limit of a test has to allow
 * for it. What is in the caches already costs nothing.
 */
import { ensureComposePlugin } from "../toolchain/compose-plugin";
import { localEngine } from "../toolchain/engine";
import { standInImages } from "../toolchain/images/build";
import { COMMON_PLUGINS } from "../toolchain/pins";
import { which } from "../toolchain/processes";
import { builtPlugin } from "../toolchain/stand-ins";
import { prepareS3Server } from "./support/s3-server";
import { SshMachine } from "./support/ssh-machine";
import { machineRoot } from "./support/ssh-machine/root";
import { storageImages } from "./support/storage-images";

/** What the machines start from that tests reach by SSH, and the databases of those that share what they store. */
async function ensureMachines(): Promise<void> {
    if (await SshMachine.possible()) {
        await Promise.all([machineRoot(false), machineRoot(true)]);
        await storageImages();
    }
}

Promise.all([
    localEngine(COMMON_PLUGINS),
    standInImages(),
    ensureComposePlugin(),
    // Its tests take the stand-in also where the official plugin can be had; there Go may be missing.
    which("go") === undefined ? undefined : builtPlugin("openstack"),
    // For tests only, so a machine where everything can be downloaded may have no Go.
    which("go") === undefined ? undefined : prepareS3Server(),
    ensureMachines(),
]).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
});
