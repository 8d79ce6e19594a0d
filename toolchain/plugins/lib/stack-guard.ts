/**
 * Stand-ins keep real keys and passwords of nobody: they serve the stacks of this machine and of the tests.
 */

/** The stack of a URN (`urn:pulumi:STACK::PROJECT::TYPE::NAME`). */
export function stackOf(urn: string): string {
    return urn.split("::")[0]?.split(":")[2] ?? "";
}

/**
 * Why the stand-in must not touch this resource, or undefined when it may.
 *
 * @param plugin name and version of the official plugin, such as "random 4.21.2".
 */
export function refusal(urn: string, plugin: string): string | undefined {
    const stack = stackOf(urn);
    if (stack === "dev" || stack.startsWith("test-")) {
        return undefined;
    }
    return (
        `this is a stand-in for the official plugin ${plugin}, and stand-ins never run the stack "${stack}": ` +
        `they serve "dev" and "test-*" only. Run it where the official plugin can be downloaded, or install that ` +
        `with \`pulumi plugin install resource ${plugin}\` into another PULUMI_HOME.`
    );
}
