import { serve } from "./lib/main";
import { certRequest, locallySignedCert, privateKey, selfSignedCert } from "./tls/certificates";

serve({
    name: "tls",
    version: "5.6.1",
    acceptSecrets: false,
    resources: {
        "tls:index/privateKey:PrivateKey": privateKey,
        "tls:index/selfSignedCert:SelfSignedCert": selfSignedCert,
        "tls:index/certRequest:CertRequest": certRequest,
        "tls:index/locallySignedCert:LocallySignedCert": locallySignedCert,
    },
});
