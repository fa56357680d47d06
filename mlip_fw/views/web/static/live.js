// Draws the charts of a page and keeps it as it is on disk: nothing is asked while nobody looks.
"use strict";
(function () {
  const EVERY_MS = 3000;
  const body = document.body;
  const freshness = document.getElementById("freshness");
  let version = body.dataset.version || "";
  let heard = Date.now();
  let failures = 0;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function themed(layout) {
    const result = Object.assign({}, layout, {
      autosize: true, uirevision: "keep",
      font: Object.assign({ size: 13 }, layout.font, { color: colour("--ink") }),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    });
    delete result.width;
    for (const name of Object.keys(result)) {
      if (/^[xy]axis\d*$/.test(name)) {
        result[name] = Object.assign({}, result[name], { gridcolor: colour("--grid"), linecolor: colour("--soft") });
      }
    }
    return result;
  }

  function fitting(place, chart) {
    if (place.clientWidth >= 560 || !chart.narrow) return chart.layout;
    const layout = Object.assign({}, chart.layout);
    for (const [name, value] of Object.entries(chart.narrow)) {
      layout[name] = typeof value === "object" ? Object.assign({}, layout[name], value) : value;
    }
    return layout;
  }

  function draw(charts) {
    for (const place of document.querySelectorAll("[data-chart]")) {
      const chart = charts[place.dataset.chart];
      if (!chart || !chart.data || !window.Plotly) continue;
      const options = { responsive: true, displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
      place.setAttribute("aria-label", chart.label);
      const said = place.closest("figure").querySelector("[data-said]");
      if (said) said.textContent = chart.label;
      const layout = fitting(place, chart);
      place.style.minHeight = layout.height + "px";
      window.Plotly.react(place, chart.data, themed(layout), options).catch(function () {
        place.textContent = "This browser can't draw it; the table below holds the same numbers.";
      });
    }
  }

  let drawn = null;
  async function loadCharts() {
    if (!body.dataset.charts || !document.querySelector("[data-chart]")) return;
    const answer = await fetch(body.dataset.charts, { cache: "no-store" });
    if (!answer.ok) return;
    drawn = await answer.json();
    draw(drawn);
  }

  function sameFocus(before) {
    const focused = document.activeElement;
    if (!focused || !before.contains(focused)) return function () {};
    const all = Array.from(before.querySelectorAll("a, summary, [tabindex]"));
    const at = all.indexOf(focused);
    return function (after) {
      const found = after.querySelectorAll("a, summary, [tabindex]")[at];
      if (found) found.focus({ preventScroll: true });
    };
  }

  function replaceParts(page) {
    const fresh = new Map(Array.from(page.querySelectorAll("[data-part]"), function (part) { return [part.id, part]; }));
    for (const part of document.querySelectorAll("[data-part]")) {
      const after = fresh.get(part.id);
      fresh.delete(part.id);
      if (!after || after.innerHTML === part.innerHTML) continue;
      const opened = Array.from(part.querySelectorAll("details"), function (d) { return d.open; });
      const scrolled = Array.from(part.querySelectorAll(".scroll"), function (d) { return [d.scrollLeft, d.scrollTop]; });
      const focus = sameFocus(part);
      const here = document.importNode(after, true);
      part.replaceWith(here);
      here.querySelectorAll("details").forEach(function (d, k) { d.open = Boolean(opened[k]); });
      here.querySelectorAll(".scroll").forEach(function (d, k) { [d.scrollLeft, d.scrollTop] = scrolled[k] || [0, 0]; });
      focus(here);
    }
    return fresh.size > 0 || page.querySelectorAll("[data-chart]").length !== document.querySelectorAll("[data-chart]").length;
  }

  async function pageAt(address) {
    const answer = await fetch(address, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  async function look() {
    const answer = await fetch(body.dataset.live, { cache: "no-store", headers: { "If-None-Match": '"' + version + '"' } });
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(String(answer.status));
      const data = await answer.json();
      if (data.version !== version) {
        const grew = replaceParts(await pageAt(location.href));
        if (grew) { location.reload(); return; }
        await loadCharts();
        version = data.version;
      }
    }
    heard = Date.now();
    failures = 0;
  }

  function tell() {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
      if (!time.title) time.title = time.textContent;
      time.textContent = ago(seconds);
    }
    if (!freshness || !body.dataset.live) return;
    const said = failures > 1 ? "the server is gone; asking again" : "updated " + ago((Date.now() - heard) / 1000);
    if (freshness.textContent !== said) freshness.textContent = said;
    freshness.classList.toggle("trouble", failures > 1);
  }

  function ago(seconds) {
    if (!(seconds >= 0)) return "just now";
    if (seconds < 60) return Math.floor(seconds) + " s ago";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
    if (seconds < 172800) return Math.floor(seconds / 3600) + " h ago";
    return Math.floor(seconds / 86400) + " days ago";
  }

  async function watch() {
    if (body.dataset.live && !document.hidden) {
      try { await look(); } catch (error) { failures += 1; }
      tell();
    }
    setTimeout(watch, EVERY_MS);
  }

  async function evaluate() {
    const link = document.querySelector("[data-evaluate]");
    if (!link) return;
    link.parentElement.textContent = "Evaluating its labels …";
    try { replaceParts(await pageAt(link.href)); } catch (error) { location.href = link.href; return; }
    await loadCharts();
  }

  document.addEventListener("visibilitychange", function () { if (!document.hidden && body.dataset.live) look().catch(function () { failures += 1; }).then(tell); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { if (drawn) draw(drawn); });
  setInterval(tell, 1000);
  tell();
  evaluate();
  loadCharts().catch(function () {});
  setTimeout(watch, EVERY_MS);
})();
