"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const dock = { toggle: byId("toggle"), now: byId("now"), seek: byId("seek"), time: byId("time") };
  const rows = [...byId("listening").tBodies[0].rows].map((element) => ({
    element,
    utterance: element.dataset.utterance,
    seconds: Number(element.dataset.seconds),
    cells: [...element.querySelectorAll("td.cell")].map((cell) => ({
      element: cell,
      name: cell.dataset.name,
      audio: cell.querySelector("audio"),
      button: cell.querySelector("button"),
    })),
  }));
  let row, cell, lastFake;

  const announce = (text) => { byId("status").textContent = text; };
  const isPlaying = () => Boolean(cell && !cell.audio.paused);
  const firstWithAudio = (of) => of.cells.find((one) => one.audio);

  function show() {
    const at = cell.audio.currentTime;
    row.element.style.setProperty("--at", Math.min(1, at / row.seconds));
    dock.seek.value = at;
    dock.time.textContent = `${at.toFixed(2)} / ${row.seconds.toFixed(2)} s`;
    if (isPlaying()) requestAnimationFrame(show);
  }

  function showState() {
    for (const button of [cell.button, dock.toggle]) button.classList.toggle("playing", isPlaying());
    cell.button.setAttribute("aria-pressed", isPlaying());
    dock.toggle.setAttribute("aria-label", isPlaying() ? "Pause" : "Play");
    show();
  }

  function start() {
    const { audio } = cell;
    // A switch to the next column interrupts what was about to play: that is no failure.
    audio.play().catch((error) => {
      if (error.name !== "AbortError") announce(`${cell.name} cannot be played: ${error.message}`);
    });
  }

  function leave() {
    cell.audio.pause();
    cell.button.classList.remove("playing");
    cell.button.setAttribute("aria-pressed", "false");
    cell.button.tabIndex = -1;
    cell.element.classList.remove("current");
  }

  // The one way to another cell: what played goes on there, within a row at the same position.
  function select(nextRow, nextCell, { focus = true } = {}) {
    const wasPlaying = isPlaying();
    const position = row === nextRow && cell ? cell.audio.currentTime : 0;
    if (cell) leave();
    if (row !== nextRow) {
      if (row) row.element.classList.remove("current");
      nextRow.element.classList.add("current");
      for (const other of nextRow.cells) if (other.audio) other.audio.preload = "auto";
      lastFake = nextRow.cells.slice(1).find((one) => one.audio);
    }
    [row, cell] = [nextRow, nextCell];
    if (row.cells.indexOf(cell) > 0) lastFake = cell;
    cell.audio.currentTime = position;
    cell.element.classList.add("current");
    cell.button.tabIndex = 0;
    dock.seek.max = row.seconds;
    dock.now.textContent = `${row.utterance} · ${cell.name}`;
    if (wasPlaying) start();
    if (focus) {
      cell.button.focus({ preventScroll: true });
      cell.element.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    showState();
    announce(`${row.utterance}, ${cell.name}`);
  }

  function toggle() {
    if (!cell) return;
    if (isPlaying()) {
      cell.audio.pause();
      announce(`${cell.name} paused at ${cell.audio.currentTime.toFixed(1)} seconds`);
    } else {
      start();
      announce(`${row.utterance}, ${cell.name} playing`);
    }
  }

  function seek(seconds) {
    if (!cell) return;
    cell.audio.currentTime = seconds;
    show();
  }

  function moveColumn(step) {
    let index = row.cells.indexOf(cell) + step;
    while (row.cells[index] && !row.cells[index].audio) index += step;
    if (row.cells[index]) select(row, row.cells[index]);
  }

  function chooseColumn(index) {
    const chosen = row.cells[index];
    if (!chosen) return;
    if (chosen.audio) select(row, chosen);
    else announce(chosen.element.innerText);
  }

  function moveRow(step) {
    const shown = rows.filter((one) => !one.element.hidden && firstWithAudio(one));
    const here = shown.indexOf(row);
    const next = shown[here < 0 ? 0 : here + step];
    if (!next) return;
    const same = next.cells[row.cells.indexOf(cell)];
    select(next, same.audio ? same : firstWithAudio(next));
  }

  function compare() {
    if (!cell) return;
    const genuine = row.cells[0];
    const other = cell === genuine ? lastFake : genuine;
    if (other && other.audio) select(row, other);
  }

  function showDifferences(on) {
    byId("difference").checked = on;
    document.body.classList.toggle("differences", on);
    announce(on ? "Difference spectrograms" : "Mel spectrograms");
  }

  function search() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const one of rows) {
      const fits = words.every((word) => one.element.dataset.search.includes(word));
      one.element.hidden = !fits;
      found += fits;
    }
    byId("found").textContent = words.length ? `${found} of ${rows.length} utterances` : `${rows.length} utterances`;
  }

  const KEYS = {
    " ": toggle,
    ArrowLeft: () => moveColumn(-1),
    ArrowRight: () => moveColumn(1),
    ArrowUp: () => moveRow(-1),
    ArrowDown: () => moveRow(1),
    a: compare,
    b: compare,
    d: () => showDifferences(!document.body.classList.contains("differences")),
    "/": () => byId("search").focus(),
    "?": () => byId("help").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (!cell || event.ctrlKey || event.altKey || event.metaKey || byId("help").open) return;
    const { target, key } = event;
    if (target.matches("input:not([type=checkbox]), textarea, select")) return;
    if (key === " " && target.closest("button, a, input, summary")) return;
    const action = KEYS[key.length === 1 ? key.toLowerCase() : key];
    if (/^[1-9]$/.test(key)) chooseColumn(Number(key) - 1);
    else if (action) action();
    else return;
    event.preventDefault();
  });

  for (const one of rows) {
    for (const each of one.cells.filter((other) => other.audio)) {
      each.button.addEventListener("click", () => {
        if (each === cell) return toggle();
        select(one, each);
        if (!isPlaying()) toggle();
      });
      each.element.querySelector(".picture").addEventListener("click", (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        if (each !== cell) select(one, each);
        seek(((event.clientX - box.left) / box.width) * one.seconds);
        if (!isPlaying()) toggle();
      });
      for (const change of ["play", "pause", "ended", "seeked"]) {
        each.audio.addEventListener(change, () => { if (each === cell) showState(); });
      }
      each.audio.addEventListener("error", () => announce(`${each.name} of ${one.utterance} cannot be played`));
    }
  }
  dock.toggle.addEventListener("click", toggle);
  dock.seek.addEventListener("input", () => seek(Number(dock.seek.value)));
  byId("ab").addEventListener("click", compare);
  byId("difference").addEventListener("change", (event) => showDifferences(event.target.checked));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("search").addEventListener("input", search);
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { byId("search").value = ""; search(); }
    if (event.key === "Escape" || event.key === "Enter") {
      const shown = rows.find((one) => !one.element.hidden && firstWithAudio(one));
      if (shown) select(shown, firstWithAudio(shown));
      event.preventDefault();
    }
  });

  const first = rows.find(firstWithAudio);
  if (first) select(first, firstWithAudio(first), { focus: false });
})();
