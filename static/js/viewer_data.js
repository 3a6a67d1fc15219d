/* The viewer's data: our DICOMweb as Cornerstone's image loader and metadata provider. Nothing of it is kept on disk.

   Frames come uncompressed (the server decodes JPEG, JPEG-LS, JPEG 2000, HTJ2K and RLE), so the page needs no codec, no
   worker and no WebAssembly. Everything asked for is asked with the session, so its rights are checked object by object. */
(function () {
  "use strict";
  const NATIVE = new Set(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"]);
  const DEVICE = { UNAVAILABLE: true };
  const root = document.querySelector("[data-viewer-root]");
  if (!root) return;
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const heads = new Map();      // sop -> header (DICOM JSON)
  const facts = new Map();      // image id -> what the picture needs of its header
  const whole = new Map();      // series -> promise of all its headers
  const single = new Map();     // sop -> promise of one header
  const early = new Map();      // image id -> bytes asked for before the engine was there

  class Trouble extends Error {
    constructor(what, todo) { super(what); this.todo = todo; }
  }
  const words = (name) => root.querySelector("[data-viewer-words]").dataset[name] || "";

  // --- asking

  async function ask(url, accept, signal, priority) {
    let answer;
    try {
      answer = await fetch(url, { headers: { Accept: accept }, credentials: "same-origin", signal, priority });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Trouble(words("noServer"), words("noServerTodo"));
    }
    if (answer.ok) return answer;
    if (answer.status === 401 || answer.status === 403) throw new Trouble(words("noRight"), words("noRightTodo"));
    if (answer.status === 404) throw new Trouble(words("gone"), words("goneTodo"));
    let told = "";
    try { told = (await answer.json()).detail || ""; } catch { told = ""; }
    throw new Trouble(words("unreadable"), [told, words("unreadableTodo")].filter(Boolean).join(" "));
  }

  const seriesPath = (ref) => `${data.root}/studies/${ref.study}/series/${ref.series}`;
  const instancePath = (ref) => `${seriesPath(ref)}/instances/${ref.sop}`;
  const idOf = (ref) => `picha:${ref.study}/${ref.series}/${ref.sop}/${ref.frame}`;
  function refOf(id) {
    const [study, series, sop, frame] = id.slice(6).split("/");
    return { study, series, sop, frame: +frame };
  }

  function wholeSeries(ref) {
    const key = `${ref.study}/${ref.series}`;
    if (!whole.has(key)) {
      whole.set(key, ask(`${seriesPath(ref)}/metadata`, "application/dicom+json").then((answer) => answer.json()).then((rows) => {
        rows.forEach((row) => { heads.set(text(row, "00080018"), row); });
      }).catch((error) => { whole.delete(key); throw error; }));
    }
    return whole.get(key);
  }

  /* One header by itself is quicker than three hundred: the first picture asks for its own. */
  function headOf(ref) {
    if (heads.has(ref.sop)) return Promise.resolve(heads.get(ref.sop));
    const series = whole.get(`${ref.study}/${ref.series}`);
    if (series) return series.then(() => heads.get(ref.sop)).catch(() => null).then((head) => head || oneHead(ref));
    return oneHead(ref);
  }
  function oneHead(ref) {
    if (!single.has(ref.sop)) {
      single.set(ref.sop, ask(`${instancePath(ref)}/metadata`, "application/dicom+json", undefined, "high")
        .then((answer) => answer.json()).then((rows) => { heads.set(ref.sop, rows[0]); return rows[0]; })
        .catch((error) => { single.delete(ref.sop); throw error; }));
    }
    return single.get(ref.sop);
  }

  function bytesOf(ref, signal, priority) {
    const id = idOf(ref), begun = early.get(id);
    if (begun) { early.delete(id); return begun; }
    return ask(`${instancePath(ref)}/frames/${ref.frame}`, "application/octet-stream", signal, priority).then((answer) => answer.arrayBuffer());
  }
  function beginEarly(ref) {
    const bytes = bytesOf(ref, undefined, "high");
    bytes.catch(() => undefined);
    early.set(idOf(ref), bytes);
    oneHead(ref).catch(() => undefined);
  }

  // --- reading headers

  const element = (set, tag) => set && set[tag] && set[tag].Value;
  function text(set, tag) { const value = element(set, tag); return value === undefined ? "" : String(value[0] ?? ""); }
  function name(set, tag) { const value = element(set, tag); return value && value[0] ? value[0].Alphabetic || "" : ""; }
  function numbers(set, tag) { return (element(set, tag) || []).map(Number).filter((value) => Number.isFinite(value)); }
  const number = (set, tag) => numbers(set, tag)[0];

  /* A value of the frame: its own functional group, then the shared one, then the object itself. */
  function ofFrame(head, frame, tag) {
    const groups = [element(head, "52009230") && element(head, "52009230")[frame - 1], element(head, "52009229") && element(head, "52009229")[0]];
    for (const group of groups) {
      if (!group) continue;
      for (const key of Object.keys(group)) {
        const inner = element(group, key) && element(group, key)[0];
        if (inner && typeof inner === "object" && inner[tag]) return inner;
      }
    }
    return head;
  }

  /* Millimetres of a pixel, down and across, and how sure they are. Null: nothing says so, measures are in pixels. */
  function spacingOf(head, frame) {
    const plain = numbers(ofFrame(head, frame, "00280030"), "00280030");
    if (plain.length === 2 && plain[0] > 0 && plain[1] > 0) return { down: plain[0], across: plain[1], how: "" };
    const regions = (element(head, "00186011") || []).filter((row) => number(row, "00186024") === 3 && number(row, "00186026") === 3 && number(row, "00186012") === 1);
    const steps = new Set(regions.map((row) => `${number(row, "0018602C")}/${number(row, "0018602E")}`));
    if (steps.size === 1) {
      const [across, down] = [Math.abs(number(regions[0], "0018602C")) * 10, Math.abs(number(regions[0], "0018602E")) * 10];
      if (across > 0 && down > 0) return { down, across, how: "" };
    }
    const imager = numbers(head, "00181164");
    if (imager.length === 2 && imager[0] > 0 && imager[1] > 0) {
      const magnified = number(head, "00181114");
      const by = magnified > 0 ? magnified : 1;
      return { down: imager[0] / by, across: imager[1] / by, how: magnified > 0 ? "" : "detector" };
    }
    return null;
  }

  function factsOf(head, ref) {
    const frame = ref.frame, get = (tag) => ofFrame(head, frame, tag);
    const position = numbers(get("00200032"), "00200032"), directions = numbers(get("00200037"), "00200037");
    const rescale = get("00281053"), slope = number(rescale, "00281053") || 1, intercept = number(rescale, "00281052") || 0;
    const centres = numbers(get("00281050"), "00281050"), widths = numbers(get("00281051"), "00281051");
    const names = element(get("00281055"), "00281055") || [];
    const spacing = spacingOf(head, frame);
    const modality = text(head, "00080060");
    const unit = text(rescale, "00281054");
    const row = directions.slice(0, 3), column = directions.slice(3, 6);
    const isPlaced = position.length === 3 && directions.length === 6;
    const normal = isPlaced ? [row[1] * column[2] - row[2] * column[1], row[2] * column[0] - row[0] * column[2], row[0] * column[1] - row[1] * column[0]] : null;
    return {
      head, modality, spacing, slope, intercept, position: isPlaced ? position : null, normal,
      rowCosines: isPlaced ? row : null, columnCosines: isPlaced ? column : null,
      along: isPlaced ? position.reduce((sum, value, axis) => sum + value * normal[axis], 0) : null,
      frameOfReference: text(head, "00200052"),
      unit: modality === "CT" && (!unit || unit === "HU") ? "HU" : modality === "PT" ? text(head, "00541001") : unit === "US" ? "" : unit,
      windows: centres.map((centre, at) => ({ centre, width: widths[at], name: names[at] || "" })).filter((window) => window.width >= 1),
      rows: number(head, "00280010"), columns: number(head, "00280011"), samples: number(head, "00280002") || 1,
      allocated: number(head, "00280100") || 8, stored: number(head, "00280101") || 8, signed: number(head, "00280103") === 1,
      photometric: text(head, "00280004"), planar: number(head, "00280006") === 1, isNative: NATIVE.has(text(head, "00083002")),
      padding: number(head, "00280120"), frameTime: number(head, "00181063") || (number(head, "00180040") ? 1000 / number(head, "00180040") : 0),
      orientation: element(head, "00200020") || [], side: text(head, "00200062") || text(head, "00200060"), view: text(head, "00185101"),
      patientName: name(head, "00100010"), patientId: text(head, "00100020"), number: text(head, "00200013"), description: text(head, "0008103E"),
      date: text(head, "00080020"), location: number(head, "00201041"),
    };
  }

  // --- tables and samples

  async function tableBytes(set, tag) {
    const entry = set[tag];
    if (!entry) return null;
    if (entry.InlineBinary) return Uint8Array.from(atob(entry.InlineBinary), (letter) => letter.charCodeAt(0));
    if (entry.BulkDataURI) {
      const answer = await ask(new URL(entry.BulkDataURI).pathname, "application/octet-stream");
      return new Uint8Array(await answer.arrayBuffer());
    }
    return entry.Value ? new Uint8Array(Uint16Array.from(entry.Value).buffer) : null;
  }

  /* A palette as 256 or more bytes of one colour (PS3.3 C.7.6.3.1.5 and .6). */
  async function palette(head, describes, holds) {
    const description = numbers(head, describes), bytes = await tableBytes(head, holds);
    if (description.length < 3 || !bytes) throw new Trouble(words("noPalette"), words("unreadableTodo"));
    const count = description[0] || 65536, table = new Uint8ClampedArray(count);
    const isWide = bytes.length >= count * 2, wide = isWide ? new Uint16Array(bytes.slice(0, count * 2).buffer) : null;
    const shift = description[2] > 8 ? description[2] - 8 : 0;
    for (let at = 0; at < count; at++) table[at] = isWide ? wide[at] >> shift : bytes[at];
    return { first: description[1], table };
  }

  async function throughPalette(values, head) {
    const [red, green, blue] = await Promise.all([["00281101", "00281201"], ["00281102", "00281202"], ["00281103", "00281203"]].map((tags) => palette(head, ...tags)));
    const out = new Uint8ClampedArray(values.length * 3), last = red.table.length - 1;
    for (let at = 0; at < values.length; at++) {
      const entry = Math.min(last, Math.max(0, values[at] - red.first));
      out[at * 3] = red.table[entry]; out[at * 3 + 1] = green.table[entry]; out[at * 3 + 2] = blue.table[entry];
    }
    return out;
  }

  function coloured(bytes, fact) {
    const count = fact.rows * fact.columns, out = new Uint8ClampedArray(count * 3);
    // What the server has decoded is RGB by pixel; what it passes on is as the object says.
    const kind = fact.isNative ? fact.photometric : "RGB", planar = fact.isNative && fact.planar;
    if (kind === "YBR_FULL_422" && bytes.length < count * 3) {
      for (let pair = 0, at = 0; pair + 3 < bytes.length; pair += 4, at += 6) {
        rgb(out, at, bytes[pair], bytes[pair + 2], bytes[pair + 3]);
        rgb(out, at + 3, bytes[pair + 1], bytes[pair + 2], bytes[pair + 3]);
      }
      return out;
    }
    for (let at = 0; at < count; at++) {
      const [first, second, third] = planar ? [bytes[at], bytes[at + count], bytes[at + 2 * count]] : [bytes[at * 3], bytes[at * 3 + 1], bytes[at * 3 + 2]];
      if (kind.startsWith("YBR")) rgb(out, at * 3, first, second, third);
      else { out[at * 3] = first; out[at * 3 + 1] = second; out[at * 3 + 2] = third; }
    }
    return out;
  }
  function rgb(out, at, luma, blue, red) {
    out[at] = luma + 1.402 * (red - 128);
    out[at + 1] = luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128);
    out[at + 2] = luma + 1.772 * (blue - 128);
  }

  /* Samples as integers of at most 16 bits; what is wider is scaled, and slope and intercept with it. */
  function grey(buffer, fact) {
    const count = fact.rows * fact.columns;
    const need = Math.ceil(count * fact.allocated / 8);
    if (buffer.byteLength < need) throw new Trouble(words("tooShort"), words("unreadableTodo"));
    let values, { slope, intercept } = fact;
    if (fact.allocated === 1) {
      const bytes = new Uint8Array(buffer);
      values = Uint8Array.from({ length: count }, (_nothing, at) => (bytes[at >> 3] >> (at & 7)) & 1);
    } else if (fact.allocated === 8) values = new (fact.signed ? Int8Array : Uint8Array)(buffer, 0, count);
    else if (fact.allocated === 16) {
      values = new (fact.signed ? Int16Array : Uint16Array)(buffer, 0, count);
      const spare = 16 - fact.stored;
      if (spare > 0 && fact.signed) for (let at = 0; at < count; at++) values[at] = (values[at] << (16 + spare)) >> (16 + spare);
      else if (spare > 0) for (let at = 0, mask = (1 << fact.stored) - 1; at < count; at++) values[at] &= mask;
    } else {
      const wide = fact.head["7FE00008"] ? new Float32Array(buffer, 0, count) : new (fact.signed ? Int32Array : Uint32Array)(buffer, 0, count);
      let low = Infinity, high = -Infinity;
      for (const value of wide) { if (value < low) low = value; if (value > high) high = value; }
      const step = (high - low) / 65535 || 1;
      values = Uint16Array.from(wide, (value) => Math.round((value - low) / step));
      intercept += slope * low; slope *= step;
    }
    let low = Infinity, high = -Infinity, lowest = Infinity;
    for (let at = 0; at < count; at++) {
      const value = values[at];
      if (value < lowest) lowest = value;
      if (value > high) high = value;
      if (value < low && value !== fact.padding) low = value;
    }
    return { values, slope, intercept, lowest, low: low === Infinity ? lowest : low, high };
  }

  async function voiTable(head) {
    const row = element(head, "00283010") && element(head, "00283010")[0];
    const description = row && numbers(row, "00283002");
    const bytes = row && await tableBytes(row, "00283006");
    if (!bytes || description.length < 3) return null;
    const count = description[0] || 65536;
    const lut = bytes.length >= count * 2 ? new Uint16Array(bytes.slice(0, count * 2).buffer) : bytes;
    return { firstValueMapped: description[1], numBitsPerEntry: description[2], lut: Array.from(lut, (value) => (description[2] < 8 ? value << (8 - description[2]) : value)) };
  }

  async function pictureOf(id, signal, priority) {
    const ref = refOf(id);
    const [head, buffer] = await Promise.all([headOf(ref), bytesOf(ref, signal, priority)]);
    if (!head || DEVICE[text(head, "00080056")] || !number(head, "00280010")) throw new Trouble(words("unreadable"), words("unreadableTodo"));
    const fact = factsOf(head, ref);
    facts.set(id, fact);
    let image = { slope: 1, intercept: 0, windowCenter: 128, windowWidth: 256, minPixelValue: 0, maxPixelValue: 255, invert: false };
    let samples, color = true;
    if (fact.samples >= 3) {
      if (fact.allocated !== 8) throw new Trouble(words("deepColour"), words("unreadableTodo"));
      samples = coloured(new Uint8Array(buffer), fact);
    } else if (fact.photometric === "PALETTE COLOR") samples = await throughPalette(grey(buffer, fact).values, head);
    else {
      color = false;
      const found = grey(buffer, fact);
      samples = found.values;
      if (!fact.windows.length) {
        const [first, last] = [found.low * found.slope + found.intercept, found.high * found.slope + found.intercept];
        fact.windows = [{ centre: (first + last) / 2 + 0.5, width: Math.max(1, Math.abs(last - first) + 1), name: "", isOwn: true }];
      }
      fact.slope = found.slope; fact.intercept = found.intercept;
      const table = fact.windows[0].isOwn ? await voiTable(head) : null;
      image = { slope: found.slope, intercept: found.intercept, windowCenter: fact.windows[0].centre, windowWidth: fact.windows[0].width, minPixelValue: found.lowest, maxPixelValue: found.high, invert: fact.photometric === "MONOCHROME1" };
      if (table) image.voiLUT = table;
    }
    const size = { rows: fact.rows, columns: fact.columns, height: fact.rows, width: fact.columns };
    const voxelManager = Cornerstone.VoxelManager.createImageVoxelManager({ width: fact.columns, height: fact.rows, scalarData: samples, numberOfComponents: color ? 3 : 1 });
    return {
      imageId: id, ...image, ...size, color, rgba: false, numberOfComponents: color ? 3 : 1, sizeInBytes: samples.byteLength, voxelManager,
      getPixelData: () => samples, photometricInterpretation: color ? "RGB" : fact.photometric, voiLUTFunction: "LINEAR",
      columnPixelSpacing: fact.spacing ? fact.spacing.across : 1, rowPixelSpacing: fact.spacing ? fact.spacing.down : 1, dataType: samples.constructor.name,
    };
  }

  // --- what Cornerstone asks

  function provide(type, id) {
    if (typeof id !== "string" || !id.startsWith("picha:")) return undefined;
    const ref = refOf(id);
    const fact = facts.get(id) || (heads.get(ref.sop) && factsOf(heads.get(ref.sop), ref));
    if (!fact) return undefined;
    if (type === "imagePlaneModule") {
      return {
        frameOfReferenceUID: fact.frameOfReference || `none-${ref.series}`, rows: fact.rows, columns: fact.columns,
        rowCosines: fact.rowCosines || [1, 0, 0], columnCosines: fact.columnCosines || [0, 1, 0],
        imageOrientationPatient: [...(fact.rowCosines || [1, 0, 0]), ...(fact.columnCosines || [0, 1, 0])],
        imagePositionPatient: fact.position || [0, 0, 0],
        rowPixelSpacing: fact.spacing ? fact.spacing.down : 1, columnPixelSpacing: fact.spacing ? fact.spacing.across : 1,
      };
    }
    if (type === "imagePixelModule") {
      const color = fact.samples >= 3 || fact.photometric === "PALETTE COLOR";
      return { bitsAllocated: fact.allocated, bitsStored: fact.stored, highBit: fact.stored - 1, samplesPerPixel: color ? 3 : 1, pixelRepresentation: fact.signed ? 1 : 0, photometricInterpretation: color ? "RGB" : fact.photometric };
    }
    if (type === "generalSeriesModule") return { modality: fact.modality === "PT" ? "NM" : fact.modality, seriesInstanceUID: ref.series };
    return undefined;
  }

  function register() {
    Cornerstone.metaData.addProvider(provide, 100);
    Cornerstone.imageLoader.registerImageLoader("picha", (id, options) => {
      const control = new AbortController();
      const picture = pictureOf(id, control.signal, options && options.isAhead ? "low" : "high");
      // What was cancelled is nobody's any more: it neither comes nor fails.
      const promise = picture.catch((error) => (error.name === "AbortError" ? new Promise(() => undefined) : Promise.reject(error)));
      return { promise, cancelFn: () => control.abort() };
    });
    // The engine's cache passes each failure on a second time, to nobody; the pane has told it.
    addEventListener("unhandledrejection", (event) => { if (event.reason instanceof Trouble) event.preventDefault(); });
  }

  /* Fetch around ``at``, three at a time, first the way that the reader goes. stop() cancels what no pane waits for. */
  class Ahead {
    constructor(limitBytes, isWanted) { this.limit = limitBytes; this.isWanted = isWanted; this.run = 0; this.queue = []; this.open = new Map(); }
    stop() {
      this.run++;
      this.queue = [];
      this.open.forEach((cancel, id) => {
        if (this.isWanted(id)) return;
        cancel();
        Cornerstone.cache.removeImageLoadObject(id);
      });
      this.open.clear();
    }
    start(ids, at, way, frameBytes) {
      const most = Math.max(4, Math.floor(this.limit / Math.max(1, frameBytes))), order = [];
      for (let step = 1; step < ids.length && order.length < most; step++) {
        const near = [at + step * way];
        if (step % 3 === 0) near.push(at - (step / 3) * way);
        near.forEach((index) => { if (index >= 0 && index < ids.length) order.push(index); });
      }
      for (let index = 0; index < ids.length && order.length < most; index++) order.push(index);
      this.queue = [...new Set(order)].filter((index) => index !== at).map((index) => ids[index]);
      while (this.open.size < 3 && this.next(this.run));
    }
    next(run) {
      let id;
      do { id = this.queue.shift(); } while (id && Cornerstone.cache.getImageLoadObject(id));
      if (!id) return false;
      const done = () => {
        if (run !== this.run) return;
        this.open.delete(id);
        this.next(run);
      };
      Cornerstone.imageLoader.loadAndCacheImage(id, { isAhead: true }).then(done, done);
      const entry = Cornerstone.cache.getImageLoadObject(id);
      this.open.set(id, (entry && entry.cancelFn) || (() => undefined));
      return true;
    }
  }

  window.PichaViewer = { root, data, words, facts, heads, Trouble, Ahead, idOf, refOf, beginEarly, wholeSeries, headOf, oneHead, factsOf, register, ask, text, instancePath };
  const first = data.studies.map((study) => study.stacks && study.stacks[0] && { study: study.uid, series: study.stacks[0].series, sop: study.stacks[0].sops[0], frame: 1 }).find(Boolean);
  if (first) beginEarly(first);
}());
