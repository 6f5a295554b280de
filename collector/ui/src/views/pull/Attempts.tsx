// The tries to get this image onto this node that follow one another, the newest first: how each ended, why, and when the next is.

import { go, href } from "../../app/here";
import type { Attempt, PullDetail } from "../../core/types";
import { count, ordinal, time } from "../../core/words";
import { now } from "../../live/api";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import { Time } from "../../parts/Time";

export function Attempts({ pull }: { pull: PullDetail }) {
  const { attempts } = pull;
  if (attempts.length < 2) return null;
  return (
    <section className="section" aria-label="Tries">
      <div className="section-head">
        <h3>{count(attempts.length, "try", "tries")}</h3>
      </div>
      <ol className="attempts">
        {[...attempts].reverse().map((attempt) => (
          <One key={attempt.pullId} attempt={attempt} />
        ))}
      </ol>
    </section>
  );
}

function One({ attempt }: { attempt: Attempt }) {
  const step = { pull: attempt.pullId };
  const took = attempt.completedAt && time((Date.parse(attempt.completedAt) - Date.parse(attempt.startedAt)) / 1000);
  return (
    <li className={attempt.current ? "current" : ""}>
      <Mark state={attempt.outcome ?? "downloading"} progress={0.5} label={attempt.outcome ?? "running"} />
      <div>
        <p>
          {attempt.current ? (
            <strong>{name(attempt)}, this one</strong>
          ) : (
            <a
              href={href(step)}
              onClick={(event) => {
                if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                event.preventDefault();
                go(step);
              }}
            >
              {name(attempt)}
            </a>
          )}
          <span className="soft">
            {" · "}
            <Time at={attempt.startedAt} />
            {took && `, took ${took}`}
            {attempt.source === "kubelet" && ", told by the kubelet"}
            {attempt.errorClass && ` · ${attempt.errorClass}`}
            {attempt.nextRetryAt && Date.parse(attempt.nextRetryAt) > now() && (
              <>
                {" · next try "}
                <Time at={attempt.nextRetryAt} />
              </>
            )}
          </span>
        </p>
        {attempt.error && (
          <p className="soft attempt-error">
            <Text>{attempt.error}</Text>
          </p>
        )}
      </div>
    </li>
  );
}

const name = ({ attempt, outcome }: Attempt): string => `${attempt === undefined ? "A try" : `${ordinal(attempt)} try`} ${outcome ?? "runs"}`;
