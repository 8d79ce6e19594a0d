import { z } from "zod";
import { cidr, eachOnce, object, text } from "./fields";

/** The part of the stack file's schema that says which AWS account and network the storage of kind aws is made in. */

/**
 * Ranges of addresses that a database or a cache lets in: never everybody.
 *
 * @param shortest the shortest prefix that is taken, in bits
 */
export function ownRanges(what: string, shortest: number, example: string) {
    const range = z
        .string()
        .refine((value) => !/^(?:0\.0\.0\.0|::)\/0$/.test(value), {
            error: `would let the whole internet in; expected ${what}, for example ${example}`,
            abort: true,
        })
        .pipe(cidr)
        .refine((value) => Number(value.split("/")[1]) >= shortest, {
            error: `is too wide a range; expected ${what}, with a prefix of ${String(shortest)} bits or more, for example ${example}`,
        })
        .meta({ examples: [example] });
    return z
        .array(range, `expected a list of ranges, for example [${example}]`)
        .min(1, `expected at least one range, for example [${example}]`)
        .superRefine(eachOnce((each) => each, [], "is there twice"));
}

const network = object(
    {
        vpc: text(/^vpc-[0-9a-f]{8,17}$/, "the id of a VPC", "vpc-0a1b2c3d4e5f60718").describe(
            "The VPC. It must exist.",
        ),
        subnets: z
            .array(
                text(/^subnet-[0-9a-f]{8,17}$/, "the id of a subnet", "subnet-0a1b2c3d4e5f60718"),
                "expected a list of subnets, for example [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719]",
            )
            .min(
                2,
                "expected subnets in two availability zones, for example [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719]",
            )
            .superRefine(eachOnce((each) => each, [], "is there twice"))
            .describe(
                "Subnets of it in at least two availability zones. A database with `public` needs public ones: with a route to an internet gateway.",
            ),
        nodeCidrs: ownRanges("the ranges that the nodes' own addresses are in", 8, "10.42.0.0/24")
            .optional()
            .describe(
                "Where nodes come from, as AWS sees it: what the VPN carries. Needed with a cache of kind aws, and with a database of kind aws without `public`.",
            ),
    },
    "{vpc: vpc-0a1b2c3d4e5f60718, subnets: [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719], nodeCidrs: [10.42.0.0/24]}",
);

/** `harborage:aws`. */
export const aws = object(
    {
        region: text(/^[a-z]{2}(?:-[a-z]+)+-\d$/, "a region of AWS", "eu-central-1").describe("The region."),
        profile: text(/^[^\s].{0,127}$/, "the name of a profile", "registry")
            .optional()
            .describe(
                "The profile of ~/.aws/config that `up` works with. Default: what the environment says, for example $AWS_PROFILE.",
            ),
        tags: z
            .record(
                text(/^(?!aws:)[\w.:/=+@ -]{1,128}$/, "the name of a tag", "CostCenter"),
                text(/^[\w.:/=+@ -]{0,256}$/, "the value of a tag", "4711"),
                "expected texts by name, the names not beginning with aws:, for example {CostCenter: '4711'}",
            )
            .default({})
            .describe("Further tags for everything that is made there."),
        network: network
            .optional()
            .describe("Where a database or a cache of kind aws is. Needed as soon as there is one."),
    },
    "{region: eu-central-1}",
);

export type AwsConfig = z.output<typeof aws>;
