// The server has written the page; this adds what can be copied.
import { biolmai, codeButton, copyText, curl } from "../core/code.js";
import { h } from "../core/dom.js";
import { PROTEINS } from "../examples/proteins.js";

const SEQUENCE = PROTEINS[0].text.split("\n")[1];
const MASKED = `${SEQUENCE.slice(0, 9)}<mask>${SEQUENCE.slice(10)}`;

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copyText(button.dataset.copy));
}

for (const place of document.querySelectorAll(".code-of")) {
  const { model } = place.dataset;
  const items = [{ sequence: SEQUENCE }];
  place.append(
    titled("Embedding", {
      curl: curl(model, "encode", items, { include: ["mean"] }),
      "Python (esmkit)": python(model, `model.embed("${SEQUENCE}").shape`),
      "Python (biolmai)": biolmai(model, "encode", items),
      CLI: `esmkit embed --sequence ${SEQUENCE} --model ${model} --out embedding.parquet`,
    }),
    titled("Masked residue", {
      curl: curl(model, "predict", [{ sequence: MASKED }]),
      "Python (esmkit)": python(model, `model.predict_masked("${MASKED}")`),
      "Python (biolmai)": biolmai(model, "predict", [{ sequence: MASKED }]),
      CLI: `esmkit predict --sequence '${MASKED}' --model ${model}`,
    }),
    titled("Likelihood", {
      curl: curl(model, "log_prob", items),
      "Python (esmkit)": python(model, `model.log_prob("${SEQUENCE}")`),
      "Python (biolmai)": biolmai(model, "log_prob", items),
      CLI: `esmkit likelihood --sequence ${SEQUENCE} --model ${model}`,
    }),
  );
}

function titled(title, snippets) {
  const button = codeButton(() => snippets);
  button.textContent = `${title} as code`;
  return h("span", {}, button);
}

function python(model, expression) {
  return `import esmkit\n\nmodel = esmkit.load("${model}")\nprint(${expression})`;
}
