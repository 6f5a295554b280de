// Answers of the API as state of a component: asked at once, then again every so often while somebody looks.

import { useEffect, useState } from "react";
import { ask, Unanswered } from "../live/api";

export interface Asked<T> {
  answer?: T;
  problem?: Unanswered;
}

/** Asks for `path`, in the way of `how` (which must stay the same function), every `every` milliseconds; without a path it asks nothing. An old answer stays until a new one is there. */
export function useAsked<T>(path: string | undefined, every: number, how: (path: string, signal: AbortSignal) => Promise<T> = ask): Asked<T> {
  const [asked, setAsked] = useState<Asked<T> & { path?: string }>({});
  useEffect(() => {
    if (path === undefined) return;
    const ending = new AbortController();
    let timer = 0;
    const again = (): void => void (timer = window.setTimeout(round, every));
    const round = async (): Promise<void> => {
      if (document.hidden) return;
      try {
        const answer = await how(path, ending.signal);
        if (!ending.signal.aborted) setAsked({ path, answer });
      } catch (error) {
        if (ending.signal.aborted) return;
        const problem = error instanceof Unanswered ? error : new Unanswered(0, String(error));
        setAsked((before) => ({ path, problem, ...(before.path === path && before.answer && problem.status !== 404 ? { answer: before.answer } : {}) }));
      }
      if (!ending.signal.aborted) again();
    };
    const seen = (): void => {
      if (document.hidden) return;
      clearTimeout(timer);
      void round();
    };
    void round();
    document.addEventListener("visibilitychange", seen);
    return () => {
      ending.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, every, how]);
  return asked.path === path ? asked : {};
}
