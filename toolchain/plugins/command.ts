import { copyToRemote } from "./command/copy-to-remote";
import { localCommand } from "./command/local-command";
import { remoteCommand } from "./command/remote-command";
import { serve } from "./lib/main";

serve({
    name: "command",
    version: "1.2.1",
    acceptSecrets: true,
    resources: {
        "command:local:Command": localCommand,
        "command:remote:Command": remoteCommand,
        "command:remote:CopyToRemote": copyToRemote,
    },
});
