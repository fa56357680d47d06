"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const most_spaces = 6;
  const spaces = [];

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    return { ink, paper: style.getPropertyValue("--paper").trim() };
  }

  function themed(layout) {
    const { ink, paper } = colours();
    const hover = { bgcolor: paper, bordercolor: ink, font: { color: ink } };
    return { ...layout, autosize: true, font: { family: "system-ui, sans-serif", color: ink }, hoverlabel: hover };
  }

  function fitting(plot, { layout, narrow = {} }) {
    if (plot.clientWidth >= 560) return layout;
    const differs = ([name, value]) => [name, typeof value === "object" ? { ...layout[name], ...value } : value];
    return { ...layout, ...Object.fromEntries(Object.entries(narrow).map(differs)) };
  }

  let webgl;

  // asked once: a browser gives few of these contexts
  function has_webgl() {
    const canvas = document.createElement("canvas");
    webgl ??= Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
    return webgl;
  }

  const config = { responsive: true, displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false };

  function draw(plot) {
    const chart = charts[plot.dataset.chart];
    const is_space = "space" in plot.dataset;
    if (!chart || plot.classList.contains("js-plotly-plot") || (is_space && !has_webgl())) return;
    const figure = plot.closest("figure");
    plot.hidden = false;
    figure.classList.add("drawn");
    // plotly changes what it is given
    const own = structuredClone(chart);
    const layout = fitting(plot, own);
    plot.style.height = `${layout.height}px`;
    Plotly.newPlot(plot, own.data, themed(layout), config).then(
      () => {
        if (!is_space) return;
        spaces.push(plot);
        figure.querySelector(".views").hidden = false;
        if (spaces.length > most_spaces) put_away(spaces[0]);
      },
      () => put_away(plot),
    );
  }

  function put_away(plot) {
    const at = spaces.indexOf(plot);
    if (at >= 0) spaces.splice(at, 1);
    if (plot.classList.contains("js-plotly-plot")) Plotly.purge(plot);
    plot.hidden = true;
    const figure = plot.closest("figure");
    figure.classList.remove("drawn");
    const views = figure.querySelector(".views");
    if (views) views.hidden = true;
  }

  const eyes = { x: { x: 2, y: 0, z: 0 }, y: { x: 0, y: -2, z: 0 }, z: { x: 0, y: 0, z: 2 } };
  const ups = { x: { x: 0, y: 0, z: 1 }, y: { x: 0, y: 0, z: 1 }, z: { x: 0, y: 1, z: 0 } };

  document.addEventListener("click", (event) => {
    const axis = event.target.dataset && event.target.dataset.along;
    if (!axis) return;
    const plot = event.target.closest("figure").querySelector(".plot");
    Plotly.relayout(plot, { "scene.camera.eye": eyes[axis], "scene.camera.up": ups[axis] });
  });

  for (const halt of document.querySelectorAll("details.halt")) {
    halt.addEventListener("toggle", () => {
      for (const plot of halt.querySelectorAll(".plot")) halt.open ? draw(plot) : put_away(plot);
    });
  }

  function open_named() {
    const named = document.getElementById(location.hash.slice(1));
    if (named && named.matches("details.halt")) named.open = true;
  }
  addEventListener("hashchange", open_named);
  open_named();

  for (const plot of document.querySelectorAll(".plot:not([data-space])")) draw(plot);

  dark.addEventListener("change", () => {
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      const { font, hoverlabel } = themed({});
      Plotly.relayout(plot, { font, hoverlabel });
    }
  });
})();
