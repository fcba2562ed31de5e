// The contact map as code.
import { biolmai, codeButton, curl } from "../core/code.js";

/** A button with the same call for others. */
export function contactCode(work) {
  const items = [{ sequence: work.sequence }];
  const params = { include: ["contacts"] };
  const { slug } = work.model;
  return codeButton(() => ({
    curl: curl(slug, "encode", items, params),
    "Python (esmkit)": `import esmkit\n\nmodel = esmkit.load("${slug}")\ncontacts = model.contacts("${work.sequence}")\nprint(contacts.shape)`,
    "Python (biolmai)": biolmai(slug, "encode", items, params),
    CLI: `esmkit contacts --sequence ${work.sequence} --model ${slug} --out contacts.h5 --plot contacts.png`,
  }));
}
