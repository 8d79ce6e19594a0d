/** The policies of a bucket, as AWS reads them. */

/** A statement of a policy. */
export interface Statement {
    readonly Sid: string;
    readonly Effect: "Allow" | "Deny";
    readonly Principal?: "*";
    readonly Action: string | readonly string[];
    readonly Resource: string | readonly string[];
    readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/**
 * What a registry may do in its bucket: what CNCF Distribution needs, which Harbor keeps images with too
 * (distribution/docs/content/storage-drivers/s3.md, "S3 permission scopes").
 *
 * @param arn of the bucket
 */
export function renderUserPolicy(arn: string): string {
    return render([
        {
            Sid: "Bucket",
            Effect: "Allow",
            Action: ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"],
            Resource: arn,
        },
        {
            Sid: "Objects",
            Effect: "Allow",
            Action: [
                "s3:PutObject",
                "s3:GetObject",
                "s3:DeleteObject",
                "s3:ListMultipartUploadParts",
                "s3:AbortMultipartUpload",
            ],
            Resource: `${arn}/*`,
        },
    ]);
}

/**
 * What a bucket refuses, whoever asks: requests without TLS, and with an old one.
 *
 * @param arn of the bucket
 */
export function renderBucketPolicy(arn: string): string {
    const refused = (Sid: string, Condition: Statement["Condition"] & object): Statement => ({
        Sid,
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: [arn, `${arn}/*`],
        Condition,
    });
    return render([
        refused("WithoutTls", { Bool: { "aws:SecureTransport": "false" } }),
        refused("OldTls", { NumericLessThan: { "s3:TlsVersion": "1.2" } }),
    ]);
}

function render(statements: readonly Statement[]): string {
    return JSON.stringify({ Version: "2012-10-17", Statement: statements });
}
