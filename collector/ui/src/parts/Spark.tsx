// A sparkline: bytes per second over time, the newest at the right.

import { speed } from "../core/words";
import "./spark.css";

export function Spark({ series, most, label, height = 20, width = 96 }: { series: readonly number[]; most: number; label: string; height?: number; width?: number }) {
  const top = Math.max(1, ...series);
  const step = width / Math.max(1, most - 1);
  const left = width - (series.length - 1) * step;
  const at = (value: number, index: number): string => `${(left + index * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`;
  const line = series.map(at).join(" L");
  const now = series.at(-1) ?? 0;
  return (
    <svg className="spark" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={`${label}: now ${speed(now)}, highest ${speed(series.length ? top : 0)}`} preserveAspectRatio="none">
      {series.length > 3 && (
        <>
          <path className="spark-area" d={`M${left.toFixed(1)},${height} L${line} L${width},${height} Z`} />
          <path className="spark-line" d={`M${line}`} />
        </>
      )}
    </svg>
  );
}
