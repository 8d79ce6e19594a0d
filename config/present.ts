/** Leaves out what is not there, so that values are compared and shown without it. */
export function present<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
    return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
        [Key in keyof T]: Exclude<T[Key], undefined>;
    };
}
