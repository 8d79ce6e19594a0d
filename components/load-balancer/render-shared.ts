/** What the parts of nginx.conf have in common. */

/** Where a release's files are inside the container. */
export const release = "/etc/harborage/current";

/** What the agent and nginx share, in a folder that is no release's. */
export const balancerFolder = "/balancer";

/** The `server` lines of an `upstream` block. */
export const nodesFile = `${balancerFolder}/nodes.conf`;

/** For a `server` block that ends TLS. */
export const tlsSettings = `        ssl_certificate ${release}/secrets/root/server.crt;
        ssl_certificate_key ${release}/secrets/root/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
        ssl_prefer_server_ciphers off;
        ssl_session_cache shared:tls:10m;
        ssl_session_timeout 1d;
        ssl_session_tickets off;`;

/**
 * For a `location` block, beside its `proxy_pass`.
 *
 * @param host what the node is told that the client asked for
 */
export function renderProxy(host: string): string {
    return `            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host ${host};
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_connect_timeout 3s;
            proxy_read_timeout 900s;
            proxy_send_timeout 900s;`;
}
