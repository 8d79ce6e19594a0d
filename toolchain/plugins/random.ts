import { serve } from "./lib/main";
import { randomBytes, randomId } from "./random/bytes";
import { randomPassword } from "./random/password";

serve({
    name: "random",
    version: "4.21.2",
    acceptSecrets: false,
    resources: {
        "random:index/randomPassword:RandomPassword": randomPassword,
        "random:index/randomBytes:RandomBytes": randomBytes,
        "random:index/randomId:RandomId": randomId,
    },
});
