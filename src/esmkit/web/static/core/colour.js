// Scales from numbers to colours, the same in every picture; blue and red are told apart by colour-blind people too.

const DIVERGING = ["#7f1d1d", "#b2182b", "#d6604d", "#f4a582", "#fddbc7", "#f7f7f7", "#d1e5f0", "#92c5de", "#4393c3", "#2166ac", "#053061"];
const SEQUENTIAL = ["#f7fcfb", "#d7efec", "#a6dcd6", "#67c1bb", "#2f9e9b", "#0b7a7d", "#065a60", "#033d44"];
const ON_DARK = ["#182027", "#0d353b", "#0b5f65", "#1f8d8b", "#57b8b2", "#a6dcd6", "#f7fcfb"];
const VIRIDIS = ["#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
/** For groups: ten colours that stay apart (Okabe and Ito, and Tol). */
export const GROUPS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933", "#44aa99", "#aa4499"];

/** For what belongs to no group. */
export const NO_GROUP = "#8a97a3";
/** For dots and bars of one kind; it is seen in both themes. */
export const MARK = "#2f9e9b";

/** Red below 0, blue above, white at 0: a function from a number to [r, g, b], the ends at -limit and limit. */
export const diverging = (limit) => scale(DIVERGING, -limit, limit);

/** From pale to dark teal. */
export const sequential = (low, high) => scale(SEQUENTIAL, low, high);

/** Whether the dark theme is shown. */
export const isDark = () => inkOn(themed("--surface").match(/[\d.]+/g).slice(0, 3).map(Number)) === "#ffffff";

/** From the side of the page's ground to its opposite: nothing is pale on a light page and dark on a dark one. */
export const intensity = (low, high, dark = isDark()) => scale(dark ? ON_DARK : SEQUENTIAL, low, high);

/** 256 pixels, as an image has them, evenly from one end of a scale to the other. */
export const pixels = (colour, low, high) =>
  Uint32Array.from({ length: 256 }, (_, at) => pixel(colour(low + ((high - low) * at) / 255)));

/** A colour as an image has it: 0xAABBGGRR. */
export const pixel = ([r, g, b]) => ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;

/** From dark blue over green to yellow, for points: all of it is seen on both themes. */
export const viridis = (low, high) => scale(VIRIDIS, low, high);

/** `rgb(...)` of three numbers. */
export const css = ([r, g, b]) => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;

/** Black or white, whichever can be read on a colour. */
export const inkOn = (colour) => (luminance(colour) > 0.179 ? "#000000" : "#ffffff");

/** As the contrast rules of WCAG have it, 0 to 1. */
function luminance(colour) {
  const [r, g, b] = colour.map((channel) => (channel <= 10 ? channel / 3294 : ((channel / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** A colour of the theme as it is now, by the name of its custom property: `themed("--ink")`, as `rgb(...)`. */
export function themed(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function scale(stops, low, high) {
  const colours = stops.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  return (value) => {
    const place = Math.min(1, Math.max(0, (value - low) / (high - low || 1))) * (colours.length - 1);
    const at = Math.min(colours.length - 2, Math.floor(place));
    return colours[at].map((from, channel) => from + (colours[at + 1][channel] - from) * (place - at));
  };
}
