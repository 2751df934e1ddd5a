import { createContext, useContext, useMemo, useState, type ReactNode } from "react";

export type Language = "en" | "de";
const STORED = "opaa-language";

const Context = createContext<{ language: Language; setLanguage: (language: Language) => void }>({
  language: "en",
  setLanguage: () => undefined,
});

function initial(): Language {
  const stored = localStorage.getItem(STORED);
  if (stored === "en" || stored === "de") return stored;
  return navigator.language.toLowerCase().startsWith("de") ? "de" : "en";
}

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setState] = useState<Language>(initial);
  const value = useMemo(() => {
    document.documentElement.lang = language;
    const setLanguage = (next: Language) => {
      localStorage.setItem(STORED, next);
      setState(next);
    };
    return { language, setLanguage };
  }, [language]);
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export function useLanguage() {
  return useContext(Context);
}

/** The texts of one feature in the reader's language; `{name}` in a text is replaced. */
export function useTexts<Key extends string>(texts: Record<Language, Record<Key, string>>) {
  const { language } = useLanguage();
  return useMemo(
    () =>
      (key: Key, values: Record<string, string | number> = {}) =>
        texts[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole)),
    [language, texts],
  );
}
