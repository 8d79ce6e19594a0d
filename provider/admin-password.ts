import { z } from "zod";
import { isStatus, type Harbor } from "./client";
import { define } from "./resource";

const USER = "admin";

/** Harbor's rule for passwords and robots' secrets (src/server/v2.0/handler/user.go, requireValidSecret). */
export const harborSecret = z
    .string("expected a text")
    .regex(
        /^(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[^]{8,128}$/,
        "expected 8 to 128 characters with at least one upper-case letter, one lower-case letter and one digit",
    );

const inputs = z.strictObject({
    password: harborSecret,
    initialPassword: z.string("expected the password that Harbor was installed with").optional(),
});

type Inputs = z.infer<typeof inputs>;

/** The password of Harbor's user `admin`: harbor.yml sets it at the first start only. */
export const adminPassword = define<Inputs, object>({
    title: "the admin's password",
    inputs,
    outputs: [],
    secrets: ["password", "initialPassword"],
    replaces: [],
    instructions: ["initialPassword"],

    async create(harbor, { password, initialPassword }) {
        await setPassword(harbor, password, [initialPassword, password]);
        return { id: USER, outputs: {} };
    },

    async read(harbor, _id, state) {
        const password = state?.password ?? "";
        // What is not known any more is shown as an empty password: a difference to any that a program may want.
        return { password: password !== "" && (await login(harbor, password)) !== undefined ? password : "" };
    },

    async update(harbor, _id, state, { password, initialPassword }) {
        await setPassword(harbor, password, [state.password, password, initialPassword]);
        return {};
    },

    /** There is no Harbor without it. */
    delete: () => Promise.resolve(),
});

/** @param candidates what may log in now, the likeliest first: Harbor slows logins down after each wrong password. */
async function setPassword(harbor: Harbor, wanted: string, candidates: (string | undefined)[]): Promise<void> {
    for (const candidate of new Set(candidates)) {
        const id = candidate ? await login(harbor, candidate) : undefined;
        if (candidate === undefined || id === undefined) {
            continue;
        }
        if (candidate !== wanted) {
            await change(harbor, id, candidate, wanted);
        }
        return;
    }
    throw new Error(
        "Harbor's admin password was changed outside this stack: neither the wanted one nor the one before logs in. " +
            "Give the one that is valid as `initialPassword`, and this will set the wanted one",
    );
}

/** Also where the answer to it is lost: asked again, Harbor says that the old password is wrong. */
async function change(harbor: Harbor, id: number, from: string, to: string): Promise<void> {
    try {
        await harbor.as(USER, from).put(`/users/${id}/password`, { old_password: from, new_password: to });
    } catch (error) {
        const isDone = await login(harbor, to).catch(() => undefined);
        if (isDone === undefined) {
            throw error;
        }
    }
}

/** The user's id, or undefined when the password is wrong. */
async function login(harbor: Harbor, password: string): Promise<number | undefined> {
    try {
        const user = await harbor.as(USER, password).get<{ user_id: number }>("/users/current");
        return user?.user_id;
    } catch (error) {
        if (isStatus(error, 401)) {
            return undefined;
        }
        throw error;
    }
}
