// Numbers as a person reads them.

export const rate = (value) => `${value.toFixed(1)}/s`;

// What is not whole never shows as 100.0 %.
export const share = (value) =>
  value === null ? "–" : `${(value < 1 ? Math.min(99.9, Math.floor(value * 1000) / 10) : 100).toFixed(1)} %`;

export const milliseconds = (value) =>
  value === null || value === undefined ? "–" : value < 1000 ? `${value.toFixed(1)} ms` : `${(value / 1000).toFixed(1)} s`;

export function bytes(count) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (count < 1024) return `${Math.round(count)} ${unit}`;
    count /= 1024;
  }
  return `${count.toFixed(1)} GiB`;
}

export const arrow = (direction) => (direction === "outbound" ? "→ out" : "← in");

export const ok = (success) => (success !== null && success < 1 ? "bad" : "");
