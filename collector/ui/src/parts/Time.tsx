// A moment: relative, by the clock on the wall, or in UTC, as the person prefers; all three on hover.

import { useSettings } from "../app/settings";
import { age } from "../core/words";
import { now } from "../live/api";

export function Time({ at, suffix = " ago" }: { at: string; suffix?: string }) {
  const { times } = useSettings();
  const moment = new Date(at);
  const away = (now() - moment.getTime()) / 1000;
  const relative = away >= 0 ? `${age(away)}${suffix}` : `in ${age(-away)}`;
  const written = { relative, local: local(moment), UTC: utc(moment) }[times];
  return (
    <time dateTime={at} title={`${relative} · ${local(moment)} · ${utc(moment)}`}>
      {written}
    </time>
  );
}

const two = (n: number): string => String(n).padStart(2, "0");

const isToday = (moment: Date): boolean => new Date(now()).toDateString() === moment.toDateString();

function local(at: Date): string {
  const day = isToday(at) ? "" : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `;
  return `${day}${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

const utc = (at: Date): string => `${at.toISOString().slice(isToday(at) ? 11 : 0, 19).replace("T", " ")}Z`;
