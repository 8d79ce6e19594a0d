/**
 * The gate: what nginx refuses while garbage is collected. It goes by flag files that the collector on the same machine
 * sets (registry/distribution/collect.sh): `uploads-closed` refuses new uploads, `writes-closed` every write.
 */

/**
 * Where each of several nodes shows its counters to the collector on the load balancer's machine, by way of its own nginx.
 * They name no repository.
 */
export const metricsPath = "/harborage/metrics";

/** How long the load balancer may hold a request while it looks for a node that takes it, in seconds. */
export const retrySeconds = 30;

/** A compose volume with the flags. */
export const gateVolume = "${HARBORAGE_DIRECTORY}/gate:/gate:ro";

/** What clients are told meanwhile, in the registry's own form of errors. */
const collecting = JSON.stringify({
    errors: [{ code: "UNAVAILABLE", message: "garbage collection is running; try again in a minute" }],
});

/** For nginx's `http` block. */
export const gateMaps = `    # The gate: what is refused while garbage is collected.
    map $request_method $write {
        default 1;
        GET 0;
        HEAD 0;
        OPTIONS 0;
    }
    map "$request_method:$uri" $new_upload {
        default 0;
        "~^POST:/v2/.+/blobs/uploads/$" 1;
    }
`;

/** For a `server` block. */
export const gateChecks = `        set $gate "";
        if (-f /gate/uploads-closed) {
            set $gate $new_upload;
        }
        if (-f /gate/writes-closed) {
            set $gate $write;
        }
        error_page 599 = @collecting;
        if ($gate = 1) {
            return 599;
        }

        location @collecting {
            internal;
            default_type application/json;
            add_header Retry-After 60 always;
            return 503 '${collecting}';
        }
`;

/** For the load balancer's `server` block: what is between it and the nodes alone. */
export const gateDenials = `        location = ${metricsPath} {
            return 404;
        }
`;
