import type { EventEmitter } from "node:events";

/** The operations under way: each can be cancelled, and all of them can be waited for. */
export class Operations {
    private readonly running = new Map<AbortController, Promise<unknown>>();
    private cancelled: string | undefined;
    private ended = false;

    /**
     * Runs one operation. Its signal is aborted when the caller hangs up, after the timeout, and by cancel().
     *
     * @param call emits "cancelled" when the caller hangs up.
     * @param timeout seconds; 0 for none.
     */
    async run<Result>(
        call: Pick<EventEmitter, "once" | "removeListener">,
        timeout: number,
        operation: (signal: AbortSignal) => Promise<Result>,
    ): Promise<Result> {
        if (this.ended) {
            throw new Error(this.cancelled);
        }
        const controller = new AbortController();
        if (this.cancelled !== undefined) {
            controller.abort(new Error(this.cancelled));
        }
        const hungUp = (): void => controller.abort(new Error("context canceled"));
        call.once("cancelled", hungUp);
        const timer =
            timeout > 0
                ? setTimeout(() => controller.abort(new Error("context deadline exceeded")), timeout * 1000)
                : undefined;
        const result = operation(controller.signal);
        this.running.set(controller, result);
        try {
            return await result;
        } finally {
            this.running.delete(controller);
            call.removeListener("cancelled", hungUp);
            clearTimeout(timer);
        }
    }

    /** Aborts what is under way now, and what comes later before it begins. */
    cancel(reason: string): void {
        this.cancelled = reason;
        for (const controller of this.running.keys()) {
            controller.abort(new Error(reason));
        }
    }

    /** Aborts what is under way, takes nothing more, and resolves when all has ended. */
    async end(reason: string): Promise<void> {
        this.ended = true;
        this.cancel(reason);
        await Promise.allSettled(this.running.values());
    }
}
