// Lines about what went wrong and how it goes on, below the answer's status: one for each kind, the latest says it.

const lines = new Map();

/**
 * @param {string} kind
 * @param {string} text shown as text only
 * @param {{label: string, press: (button: HTMLButtonElement) => void}} [action]
 */
export function notice(kind, text, action) {
  lines.get(kind)?.remove();
  const line = document.createElement("p");
  line.dataset.kind = kind;
  line.append(text);
  if (action) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: action.label });
    button.addEventListener("click", () => action.press(button));
    line.append(" ", button);
  }
  lines.set(kind, line);
  document.getElementById("notices").append(line);
}

/** Takes the line of that kind away: the trouble is over. */
export function settled(kind) {
  lines.get(kind)?.remove();
  lines.delete(kind);
}

/** What the classifier says by itself; a self-test that failed offers its report. */
export function classifierNotice({ kind, text, report }) {
  const copy = async (button) => {
    try {
      await navigator.clipboard.writeText(report);
      button.textContent = "Copied";
    } catch {
      showReport(button, report);
    }
  };
  notice(kind, text, report && { label: "Copy a report", press: copy });
}

/** Where the clipboard is not given: the text itself, to be selected. */
function showReport(button, report) {
  const shown = document.createElement("textarea");
  Object.assign(shown, { readOnly: true, rows: 8, value: report });
  shown.setAttribute("aria-label", "Report");
  button.replaceWith(shown);
  shown.select();
}
