import type { Language } from "./i18n";

export function formatDate(value: string | null | undefined, language: Language): string {
  if (!value) return "";
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(
    new Date(value),
  );
}

export function formatBytes(bytes: number, language: Language): string {
  const units = ["B", "KB", "MB", "GB"];
  const power = bytes > 0 ? Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1) : 0;
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: power ? 1 : 0 }).format(
    bytes / 1000 ** power,
  );
  return `${number} ${units[power]}`;
}

export function formatNumber(value: number, language: Language): string {
  return new Intl.NumberFormat(language).format(value);
}

/** The last part of a document's address. */
export function fileName(uri: string): string {
  return uri.split("/").pop() ?? uri;
}
