// A sequence logo: letters as high as their share, on white whatever the theme, so that it is the same in a file.
import { svg } from "../core/dom.js";
import { COLOURS, VOCABULARY, entropyBits } from "../core/residues.js";
import { LETTERS } from "../vendor/letters-dejavu-2.37.js";

const COLUMN = 34;
const HEIGHT = 120;
const LEFT = 44;
const HEAD = 12;
const FOOT = 26;
const SMALLEST = 0.02; // of the height; nobody could read less
const TOPS = [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4.4];
const MOST_BITS = Math.log2(20);

/**
 * An SVG element of `columns`, [{label, probabilities}] in the order of VOCABULARY, in lines at most `width` px wide.
 * `mode` is "bits": probability times information, log2(20) - entropy; or "probability".
 */
export function logo(columns, { mode, width, title }) {
  const heights = columns.map(({ probabilities }) => {
    const size = mode === "bits" ? Math.max(0, MOST_BITS - entropyBits(probabilities)) : 1;
    return probabilities.map((p) => p * size);
  });
  const sums = heights.map((column) => column.reduce((sum, height) => sum + height, 0));
  const top = mode === "bits" ? (TOPS.find((each) => each >= Math.max(...sums)) ?? MOST_BITS) : 1;
  const perLine = Math.max(5, Math.floor((width - LEFT - 10) / COLUMN));
  const lines = Math.ceil(columns.length / perLine);
  const lineHeight = HEAD + HEIGHT + FOOT;
  const size = {
    width: LEFT + Math.min(perLine, Math.max(columns.length, 5)) * COLUMN + 10,
    height: lines * lineHeight,
  };
  return svg(
    "svg",
    {
      viewBox: `0 0 ${size.width} ${size.height}`,
      ...size,
      role: "img",
      "aria-label": title,
      "font-family": "DejaVu Sans Mono, Menlo, Consolas, monospace",
      "font-size": 11,
      fill: "#17212b",
    },
    svg("rect", { ...size, fill: "#ffffff", rx: 6 }),
    ...Array.from({ length: lines }, (_, line) => axis(line * lineHeight + HEAD, top, mode)).flat(),
    ...columns.flatMap(({ label }, at) => {
      const place = { x: LEFT + (at % perLine) * COLUMN, y: Math.floor(at / perLine) * lineHeight + HEAD + HEIGHT };
      return stack(label, heights[at], place, top);
    }),
  );
}

/** The letters of one position, the most probable on top. */
function stack(label, heights, { x, y }, top) {
  const order = heights.map((_, column) => column).sort((a, b) => heights[a] - heights[b]);
  const parts = [];
  let bottom = y;
  for (const column of order) {
    const height = (heights[column] / top) * HEIGHT;
    if (height >= SMALLEST * HEIGHT) {
      const letter = VOCABULARY[column];
      const size = `scale(${(COLUMN - 4) / 100} ${(height / 100).toFixed(4)})`;
      const transform = `translate(${x + 2} ${(bottom - height).toFixed(2)}) ${size}`;
      parts.push(
        svg(
          "path",
          { d: LETTERS[letter], fill: COLOURS[letter], transform },
          svg("title", {}, `${letter} at ${label}`),
        ),
      );
    }
    bottom -= height;
  }
  return [...parts, svg("text", { x: x + COLUMN / 2, y: y + 16, "text-anchor": "middle" }, label)];
}

function axis(y, top, mode) {
  const ticks = [0, top / 2, top].map((value) => {
    const at = y + HEIGHT - (value / top) * HEIGHT;
    return [
      svg("line", { x1: LEFT - 6, x2: LEFT - 2, y1: at, y2: at, stroke: "#55636f" }),
      svg("text", { x: LEFT - 9, y: at + 4, "text-anchor": "end", "font-size": 10 }, Number(value.toFixed(3))),
    ];
  });
  return [
    ...ticks.flat(),
    svg("line", { x1: LEFT - 2, x2: LEFT - 2, y1: y, y2: y + HEIGHT, stroke: "#55636f" }),
    svg(
      "text",
      { transform: `translate(10 ${y + HEIGHT / 2}) rotate(-90)`, "text-anchor": "middle", "font-size": 10 },
      mode === "bits" ? "bits" : "probability",
    ),
  ];
}
