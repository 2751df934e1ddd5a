import { Badge, Group } from "@mantine/core";

import { useTexts } from "../../app/i18n";
import { usePrincipalNames } from "./principalNames";

const texts = { en: { remove: "Take {name} away" }, de: { remove: "{name} ausschließen" } };

/** Principals by name; each but the last can be taken away, because no list of readers is empty. */
export function PrincipalBadges(props: {
  principals: readonly string[];
  onRemove: (principal: string, name: string) => void;
}) {
  const t = useTexts(texts);
  const nameOf = usePrincipalNames();
  return (
    <Group gap="xs">
      {props.principals.map((principal) => (
        <Badge
          key={principal}
          variant="light"
          tt="none"
          rightSection={
            props.principals.length > 1 && (
              <button
                type="button"
                className="plain"
                aria-label={t("remove", { name: nameOf(principal) })}
                onClick={() => props.onRemove(principal, nameOf(principal))}
              >
                ×
              </button>
            )
          }
        >
          {nameOf(principal)}
        </Badge>
      ))}
    </Group>
  );
}
