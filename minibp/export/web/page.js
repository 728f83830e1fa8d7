// The page: draw, and see what the network makes of it.
const get = (id) => document.getElementById(id);

// The weights are float32, little endian as all processors of today, deflated, as base64. The description of the
// network has a [start, stop] in the place of each array.
const packed = Uint8Array.from(atob(get("weights").textContent), (c) => c.charCodeAt(0));
const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
const weights = new Float32Array(await new Response(unpacked).arrayBuffer());
const part = (_, value) => (value?.floats ? weights.subarray(...value.floats) : value);
const network = JSON.parse(get("network").textContent, part); // layers, first, side, scale, pen, classes, blank

// The values after the first `first` layers, and the outputs, for an image of values 0 to 255.
function forward(image) {
  const x = Float64Array.from(image, (v) => (v / 255) * network.scale);
  const hidden = run(network.layers.slice(0, network.first), x);
  return { hidden, y: run(network.layers.slice(network.first), hidden) };
}

// ---- showing

const drawing = get("drawing"), size = drawing.width, pen = drawing.getContext("2d", { willReadFrequently: true });
const blank = new Uint8Array(network.side ** 2);
let image = blank;

const percent = (p) => `${(100 * p).toFixed(1)} %`;

function add(parent, name, text = "") {
  const element = parent.appendChild(document.createElement("span"));
  element.className = name;
  element.textContent = text;
  return element;
}

const bars = network.classes.map((name) => {
  const row = get("bars").appendChild(document.createElement("li"));
  add(row, "name", name).title = name;
  return { row, bar: add(add(row, "track"), "bar"), value: add(row, "value") };
});

// Show values as the pixels of a canvas; `colour` gives red, green, blue and opacity of a value.
function paint(canvas, values, columns, colour) {
  canvas.width = columns;
  canvas.height = Math.ceil(values.length / columns);
  const pixels = new ImageData(columns, canvas.height);
  values.forEach((v, i) => pixels.data.set(colour(v), 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function show() {
  const pixels = pen.getImageData(0, 0, size, size).data;
  const ink = new Uint8Array(size ** 2).map((_, i) => pixels[4 * i + 3]); // the opacity
  const drawn = ink.some((v) => v > 0);
  image = drawn ? prepare[network.side](ink) : blank;
  paint(get("image"), image, network.side, (v) => [v, v, v, 255]);
  const { hidden, y } = forward(image);
  const p = y.length > 1 ? [...y] : [1 - y[0], y[0]]; // one output: the classes 0 and 1
  const best = p.indexOf(Math.max(...p));
  bars.forEach(({ row, bar, value }, i) => {
    row.className = drawn && i === best ? "best" : "";
    bar.style.width = drawn ? percent(p[i]).replace(" ", "") : "0";
    value.textContent = drawn ? percent(p[i]) : "";
  });
  get("answer").textContent = drawn ? network.classes[best] : "";
  get("sure").textContent = drawn ? percent(p[best]) : network.blank;
  get("hint").hidden = drawn;
  get("inside").hidden = !get("deep").checked;
  const largest = hidden.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;
  const colour = (v) => [...(v > 0 ? [40, 120, 240] : [235, 110, 30]), drawn ? (255 * Math.abs(v)) / largest : 0];
  paint(get("hidden"), hidden, Math.ceil(Math.sqrt(8 * hidden.length)), colour);
}

let waiting = false;
function soon() { // once for each frame that the browser shows, also if the pen moves more often
  if (!waiting) requestAnimationFrame(() => { waiting = false; show(); });
  waiting = true;
}

// What a screen reader says, after a stroke.
const tell = () => requestAnimationFrame(() => {
  get("status").textContent = `${get("answer").textContent} ${get("sure").textContent}`;
});

// ---- drawing

const on = (target, names, act) => names.split(" ").forEach((name) => target.addEventListener(name, act));

function line(from, to) {
  pen.lineWidth = size * network.pen;
  pen.lineCap = "round";
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  soon();
}

function clear() {
  pen.clearRect(0, 0, size, size);
  soon();
  tell();
}

function place(event) {
  const box = drawing.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * size, ((event.clientY - box.top) / box.height) * size];
}

let last = null; // where the pointer was, if it is down
on(drawing, "pointerdown", (event) => {
  if (event.button || !event.isPrimary) return; // not the left button, not the first finger
  drawing.setPointerCapture(event.pointerId);
  last = place(event);
  line(last, last);
});
on(drawing, "pointermove", (event) => {
  if (!last || !event.isPrimary) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) line(last, (last = place(each)));
});
on(drawing, "pointerup pointercancel", (event) => {
  if (event.isPrimary) last = null;
  tell();
});

// Arrow keys move a pen, two of them along a diagonal; the space bar puts it down or lifts it.
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const held = new Set(), cursor = get("cursor");
let at = [size / 2, size / 2];
on(drawing, "keydown", (event) => {
  const before = at, down = cursor.classList;
  if (event.key in arrows) {
    held.add(event.key);
    for (const key of held) at = at.map((v, i) => Math.min(Math.max(v + arrows[key][i] * size / 28, 0), size));
  } else if (event.key === " ") {
    if (!event.repeat) down.toggle("down");
  } else if (["Escape", "Delete", "Backspace"].includes(event.key)) clear();
  else return;
  event.preventDefault();
  if (down.contains("down")) line(before, at);
  else tell();
  cursor.style.left = `${(100 * at[0]) / size}%`;
  cursor.style.top = `${(100 * at[1]) / size}%`;
});
on(drawing, "keyup", (event) => held.delete(event.key));
on(drawing, "blur", () => held.clear());

on(get("clear"), "click", clear);
on(get("deep"), "change", show);
get("layer").hidden = !network.first; // a network without a hidden layer
show();

// For the console, and for tests.
window.minibp = {
  // The outputs, as `predict` gives them, for an image: rows of values 0 to 255, or all of them in one row.
  probabilities(image) {
    const values = [...image].flatMap((row) => (typeof row === "number" ? row : [...row]));
    if (values.length !== blank.length) throw new RangeError(`expected ${blank.length} values, received ${values.length}`);
    return [...forward(values).y];
  },
  image: () => [...image], // what the network sees now
  prepare: (drawing) => [...prepare[network.side](drawing)], // a square drawing of values 0 to 255, as it would see it
};
